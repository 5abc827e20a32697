-- The module "minnow": the functions of host/script/lua_*.cc, which arrive as `native`, and what is
-- easier to say in Lua. Types and descriptions for editors stand in minnow.d.lua.

local native = ...
local error, ipairs, pcall, rawget, setmetatable = error, ipairs, pcall, rawget, setmetatable
local getmetatable, tostring, type = getmetatable, tostring, type
local huge, min, pack, unpack = math.huge, math.min, table.pack, table.unpack

local minnow = {
  model = native.model,
  pipeline = native.pipeline,
  sleep = native.sleep,
  log = native.log,
  json = native.json,
  null = native.null,
  array = native.array,
  files = native.files,
  http = native.http,
}

-- Items are begun in order. After a failure no further one is begun; those that run are waited for,
-- and the failure of the first item that has one is raised, whichever came first in time.
function minnow.map(list, fn, options)
  local concurrency = native.concurrency(list, fn, options)
  local count, begun, results = #list, 0, {}
  local failed, failure = huge, nil

  local function worker()
    while begun < count and failed == huge do
      begun = begun + 1
      local i = begun
      local ok, result = pcall(fn, list[i], i)
      if ok then
        results[i] = result
      elseif i < failed then
        failed, failure = i, result
      end
    end
  end

  if count > 0 then native.together(worker, min(concurrency, count)) end
  if failed < huge then error(failure, 0) end
  return results
end

local function call(fn) return fn() end

function minnow.all(functions)
  local results = minnow.map(functions, call)
  return unpack(results, 1, #functions)
end

-- What fn has opened in a `for` loop or as <close> is closed when its time is up.
function minnow.timeout(seconds, fn, ...)
  local arguments, results = pack(...), nil
  native.within(seconds, function()
    results = pack(pcall(fn, unpack(arguments, 1, arguments.n)))
  end)
  if not results[1] then error(results[2], 0) end
  return unpack(results, 2, results.n)
end

function minnow.ordered(entries)
  local value, order = {}, {}
  for i, entry in ipairs(entries) do
    order[i] = entry[1]
    value[entry[1]] = entry[2]
  end
  return setmetatable(value, { __order = order })
end

-- A document that several questions are asked about: what stands before them is the same for all.
local Context = {}

function Context:ask(question, options)
  return self.model:ask(self.document, question, options)
end

function Context:classify(question, labels)
  return self.model:classify(self.document, question, labels)
end

local context_metatable = {
  __index = function(_, name)
    return Context[name] or native.fail("a context has no '" .. tostring(name) .. "'")
  end,
  __name = "minnow.context",
  __metatable = "minnow.context",
}

function native.methods.context(model, document)
  if type(document) == "table" then document = rawget(document, "text") end
  if type(document) ~= "string" then
    native.fail("context: the document should be a string, got " .. type(document))
  end
  if getmetatable(model) ~= "minnow.model" then
    native.fail "context is a method of a model: call it with a colon, model:context(...)"
  end
  return setmetatable({ model = model, document = document }, context_metatable)
end

return minnow
