local function nest(n, f) if n == 0 then return f() end return coroutine.wrap(nest)(n - 1, f) end
for n = 170, 200 do
  pcall(xpcall, nest, function(e) return nest(50, function() return e.x.y end) end, n, function() return 1 < "x" end)
  pcall(nest, n, function() return xpcall(function() return {} .. {} end, function(e) return nest(30, error) end) end)
end
