local t = {}
for k, v in ("a=1, b=2"):gmatch("(%w+)=(%w+)") do t[k] = v end
return { (("x"):gsub("%f[%w]%w+", string.upper)), ("a(b(c))d"):match("%b()"), t, ("é"):find("[^%a]-$") }
