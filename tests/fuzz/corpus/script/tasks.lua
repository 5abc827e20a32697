local r = minnow.map({ 1, 2, 3 }, function(i) return m:generate("p" .. i, { max_tokens = 2 }).text end)
local ok, e = pcall(minnow.timeout, 0.01, function() minnow.sleep(1) end)
local co = coroutine.wrap(function() for piece in m:stream("abc") do coroutine.yield(piece) end end)
return { r, ok, e.code, co(), minnow.all { function() return m:embed("x") end, function() return 2 end } }
