local s = ("x"):rep(70000)
local t = table.move({ 1, 2, 3 }, 1, 3, 2)
table.sort(t, function(a, b) return (a or 0) < (b or 0) end)
pcall(load, ("("):rep(300) .. "1")
pcall(string.find, s, ("x?"):rep(40) .. "y")
pcall(function() local function down() return (("x"):gsub("x", down)) end return down() end)
pcall(minnow.json.decode, ("["):rep(70))
local deep = {} for _ = 1, 70 do deep = { deep } end
return pcall(minnow.json.encode, deep), minnow.inspect(deep), utf8.char(0x10ffff), os.date("!%c", 0), #s, deep
