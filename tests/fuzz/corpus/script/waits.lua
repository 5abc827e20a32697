local got = {}
for piece in m:stream("later one", { max_tokens = 3 }) do got[#got + 1] = piece end
local co = coroutine.wrap(function(...) coroutine.yield(m:ask(doc, "later").text, ...) return "end" end)
got[#got + 1] = co(1)
local ok, e = pcall(minnow.timeout, 0.002, function() local x <close> = setmetatable({}, { __close = function() minnow.sleep(0.001) end }) m:generate("hang") end)
got[#got + 1] = e.code
local t = setmetatable({}, { __index = function(_, k) return m:classify(doc, k, { "a", "b" }).label end })
got[#got + 1] = t.later
return got, select(2, pcall(m.generate, m, "refuse")), select(2, pcall(m.generate, m, "fail"))
