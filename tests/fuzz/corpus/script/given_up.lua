local held = m:context("a document")
held:pin()
local opened = { m:stream("hang"), coroutine.create(function() m:generate("hang") end) }
coroutine.resume(opened[2])
coroutine.close(opened[2])
minnow.map({ 1, 2, 3, 4 }, function(i)
  if i == 3 then error({ code = "deadline", message = "now" }) end
  return m:generate(i == 4 and "hang" or "later")
end, { concurrency = 2 })
