-- The module "minnow": the functions of host/script/lua_*.cc, which arrive as `native`, and what is
-- easier to say in Lua. Types and descriptions for editors stand in minnow.d.lua.

local native = ...
local error, ipairs, pcall, rawget, setmetatable = error, ipairs, pcall, rawget, setmetatable
local getmetatable, require, tostring, type = getmetatable, require, tostring, type
local huge, min, pack, unpack = math.huge, math.min, table.pack, table.unpack

---What `require "minnow"` gives.
---
---**Waiting.** A function that waits, for a model or for time, yields the document it is called
---from, and others run meanwhile. It may be called inside pcall, iterators, metamethods and
---coroutines. It may not be called inside a callback of string.gsub or table.sort, nor at the top
---level of a module or a pipeline file: that raises precondition.
---
---**Errors.** Functions raise tables (minnow.Error). A wrong argument or an unknown option raises
---invalid and says what would be right. The end of a budget is no error that pcall sees: it ends
---the document.
---
---**Order.** Lua visits the fields of a table in an order that differs from run to run: where it
---matters, go through a list.
---@class minnow

local minnow = {
  model = native.model,
  pipeline = native.pipeline,
  sleep = native.sleep,
  log = native.log,
  json = native.json,
  inspect = native.inspect,
  null = native.null,
  array = native.array,
  files = native.files,
  http = native.http,
}

-- Few documents need it, and each has a state of its own, of which thousands wait at a time.
setmetatable(minnow, {
  __index = function(_, name)
    if name ~= "schema" then return nil end
    minnow.schema = require "minnow.schema"
    return minnow.schema
  end,
})

-- Items are begun in order. After a failure no further one is begun; those that run are waited for,
-- and the failure of the first item that has one is raised, whichever came first in time.
---Calls fn(item, i) for all items at once and gives the results in the items' order. Waits for all
---of them. When a call fails, no further one is begun, and the failure of the first item that has
---one is raised when those under way have ended.
---@generic T, R
---@param list T[]
---@param fn fun(item: T, i: integer): R
---@param options? minnow.MapOptions
---@return R[]
---function minnow.map(list, fn, options)
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

---Calls all functions at once and returns the first result of each. Waits and fails as minnow.map
---does.
---@param functions (fun(): any)[]
---@return any ...
---function minnow.all(functions)
function minnow.all(functions)
  local results = minnow.map(functions, call)
  return unpack(results, 1, #functions)
end

-- What fn has opened in a `for` loop or as <close> is closed when its time is up.
---Calls fn(...) and gives its results, unless it takes longer than so many seconds: then all that
---it does is cancelled, and deadline is raised. Waits.
---@param seconds number
---@param fn fun(...): any
---@param ... any
---@return any ...
---function minnow.timeout(seconds, fn, ...)
function minnow.timeout(seconds, fn, ...)
  local arguments, results = pack(...), nil
  native.within(seconds, function()
    results = pack(pcall(fn, unpack(arguments, 1, arguments.n)))
  end)
  if not results[1] then error(results[2], 0) end
  return unpack(results, 2, results.n)
end

---A table whose fields JSON writes in this order; others are written after them by name.
---@param entries [string, any][]
---@return table
---function minnow.ordered(entries)
function minnow.ordered(entries)
  local value, order = {}, {}
  for i, entry in ipairs(entries) do
    order[i] = entry[1]
    value[entry[1]] = entry[2]
  end
  return setmetatable(value, { __order = order })
end

local function is_chunked(options)
  return type(options) == "table" and rawget(options, "on_overflow") == "chunk"
end

-- Parts of documents are for minnow/parts.lua, which few need.
local ask, embed = native.methods.ask, native.methods.embed

function native.methods.ask(model, document, question, options)
  if not is_chunked(options) then return ask(model, document, question, options) end
  return require "minnow.parts".ask(ask, model, document, question, options)
end

function native.methods.embed(model, text, options)
  if is_chunked(options) then return require "minnow.parts".embed(embed, model, text, options) end
  local result = embed(model, text, options)
  return result.vector, result.overflow
end

-- What stands before the questions is the same for all, so the engine computes it once.
local Context = {}

---A document that several questions are asked about. It is read once: by the first of them.
---@class minnow.Context
---@field model minnow.Model
---@field document string

---As Model:ask, about the context's document.
---@param question string
---@param options? minnow.GenerateOptions
---@return minnow.Answer
---function Context:ask(question, options)
function Context:ask(question, options)
  return self.model:ask(self.document, question, options)
end

---As Model:classify, about the context's document: one question with its labels, or a list of
---questions.
---@param question string
---@param labels string[]  -- at least two
---@param options? minnow.ClassifyOptions
---@return minnow.Classification
---@overload fun(self, questions: minnow.LabelQuestion[], options?: minnow.ClassifyOptions): minnow.Classification[]
---function Context:classify(question, labels, options)
function Context:classify(question, labels, options)
  return self.model:classify(self.document, question, labels, options)
end

---As Model:extract, about the context's document.
---@param schema minnow.Schema|string
---@param options? minnow.ExtractOptions
---@return minnow.Extraction
---function Context:extract(schema, options)
function Context:extract(schema, options)
  return self.model:extract(self.document, schema, options)
end

---Reads the document now, and keeps its part of the model's cache until unpin, or until the run of
---this document ends; of a model through an adapter, the adapter's place too. Waits. Raises exhausted
---when pins would take more than half the cache, unsupported when the model keeps nothing that
---questions could share.
---@return minnow.Context  -- itself
---function Context:pin()
function Context:pin()
  if not rawget(self, "_pin") then
    self._pin = native.contexts.pin(self.model, self.document)
  end
  return self
end

---Gives up what pin has kept.
---function Context:unpin()
function Context:unpin()
  local pin = rawget(self, "_pin")
  self._pin = nil
  if pin then native.contexts.unpin(pin) end
end

---Writes the document, and what the model has computed of it, to a file of the folder that was
---granted (`--allow contexts=DIR`), in place of one of that name; pins it if it is not. Waits.
---@param name string  -- letters, digits, and -_. inside of it
---function Context:save(name)
function Context:save(name)
  self:pin()
  native.contexts.save(self.model, self.document, self._pin, name)
end

local context_metatable = {
  __index = function(_, name)
    return Context[name] or native.fail("a context has no '" .. tostring(name) ..
      "' (it has: ask, classify, document, extract, model, pin, save, unpin)")
  end,
  __name = "minnow.context",
  __metatable = "minnow.context",
}

---A document that several questions are asked about.
---@param document string|minnow.Document
---@return minnow.Context
---function Model:context(document)
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

---A context that Context:save has written, pinned: nothing of it is computed again. Waits. Raises
---not_found, corrupt when the file was cut or changed, and precondition when it is of another model,
---adapter, build or device, so that answers could differ.
---@param name string
---@return minnow.Context
---function Model:restore(name)
function native.methods.restore(model, name)
  local saved = native.contexts.restore(model, name)
  return setmetatable({ model = model, document = saved.document, _pin = saved.pin },
    context_metatable)
end

return minnow
