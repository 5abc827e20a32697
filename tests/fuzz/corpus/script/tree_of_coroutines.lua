local function f(d) if d == 0 then return end for _ = 1, 8 do coroutine.wrap(f)(d - 1) end end
f(50)
