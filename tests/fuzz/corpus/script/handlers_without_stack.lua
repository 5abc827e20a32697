-- the message handler is called where there is no room on C's stack any more, for errors of many kinds
local function handler(e) return handler2(e) .. nil end
local function at(n, f) if n == 0 then return f() end return (("x"):gsub("x", function() return at(n - 1, f) end)) end
for n = 150, 200 do
  pcall(xpcall, at, handler, n, function() return 1 + {} end)
  pcall(xpcall, at, error, n, function() return #nil end)
  pcall(xpcall, at, function(e) return e .. {} end, n, function() return ("x")() end)
  pcall(xpcall, at, function(e) return at(100, function() return e < 1 end) end, n, function() return nil .. "x" end)
end
