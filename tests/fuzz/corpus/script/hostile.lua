local a = {}
for i = 1, 100 do a[i] = i % 7 end
pcall(table.sort, a, function() return true end)
pcall(string.rep, "x", 1 << 40)
pcall(function() local function f() return f() + 1 end return f() end)
xpcall(error, function(e) return error(e) end, "x")
table.move(a, 1, 50, 3); table.insert(a, 1, a); table.concat(a, ",", 2, 3)
goto done
::done::
return m:classify("a", "b", { "x", "y" }), m:score("p", { "c" }), m:context("d"):ask("e"), load("return ...")(1)
