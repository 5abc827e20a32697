local t = setmetatable({}, { __index = function(_, k) return k end, __call = function(_, x) return m:ask(doc, x).text end,
  __close = function() error "closed" end, __eq = function() return true end, __concat = function(a) return a end })
local ok = pcall(function() local x <close> = t; return x.y, t("q"), t .. t end)
return { ok, select("#", table.unpack({}, 1, 9)), ("%q"):format(1 / 3), #string.pack("s1i4", "ab", 7) }
