-- `minnow test`: what a test file sees, after busted's fashion, and how the host runs it. The file's top level
-- runs once to learn what tests there are, and again before each of them, which has a state of its own.

local native = ...
local minnow = require "minnow"
local error, ipairs, pairs, pcall, rawequal, setmetatable, type, tostring =
  error, ipairs, pairs, pcall, rawequal, setmetatable, type, tostring
local abs, concat, unpack = math.abs, table.concat, table.unpack
local find, gmatch, gsub, lower, match = string.find, string.gmatch, string.gsub, string.lower, string.match

local array, fail, inspect = native.array, native.fail, native.inspect

-- --- Assertions

local function is_same(a, b, path, seen)
  if rawequal(a, b) or (type(a) ~= "table" and a == b) then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return false, path end
  if seen[a] == b then return true end
  seen[a] = b
  for key, value in pairs(a) do
    local same, where = is_same(value, b[key], path .. (type(key) == "number" and "[" .. key .. "]"
      or "." .. tostring(key)), seen)
    if not same then return false, where end
  end
  for key in pairs(b) do
    if a[key] == nil then
      return false, path .. (type(key) == "number" and "[" .. key .. "]" or "." .. tostring(key))
    end
  end
  return true
end

-- The message that a failure has without its place.
local function message_of(failure)
  if type(failure) == "table" then return failure.message end
  return type(failure) == "string" and (gsub(failure, "^[^\n]-:%d+: ", "")) or failure
end

local function values(expected, actual)
  return "\nexpected: " .. inspect(expected) .. "\ngot:      " .. inspect(actual)
end

-- Each gives whether it holds, and what to say of it: in words, with the values.
local checks = {}

function checks.equal(expected, actual)
  return expected == actual, "should be equal" .. values(expected, actual)
end

function checks.same(expected, actual)
  local same, where = is_same(expected, actual, "", {})
  local at = where and where ~= "" and ", differs at " .. where or ""
  return same, "should be the same" .. at .. values(expected, actual)
end

checks["true"] = function(value) return value == true, "should be true" .. values(true, value) end
checks["false"] = function(value) return value == false, "should be false" .. values(false, value) end
checks["nil"] = function(value) return value == nil, "should be nil" .. values(nil, value) end

function checks.truthy(value) return not not value, "should be truthy\ngot:      " .. inspect(value) end
function checks.falsy(value) return not value, "should be falsy\ngot:      " .. inspect(value) end

function checks.near(expected, actual, tolerance)
  if type(expected) ~= "number" or type(tolerance) ~= "number" then
    fail "near: expected a number, the number to check, and a tolerance"
  end
  return type(actual) == "number" and abs(actual - expected) <= tolerance,
    "should be within " .. inspect(tolerance) .. values(expected, actual)
end

function checks.matches(pattern, text)
  return type(text) == "string" and find(text, pattern) ~= nil, "should match" .. values(pattern, text)
end

local function is_expected_failure(expected, failure)
  if expected == nil then return true end
  if type(expected) ~= "table" then return expected == message_of(failure) end
  if type(failure) ~= "table" then return false end
  for key, value in pairs(expected) do
    if not is_same(value, failure[key], "", {}) then return false end
  end
  return true
end

function checks.error(fn, expected)
  if type(fn) ~= "function" then fail("error: the first argument should be a function, got " .. type(fn)) end
  local ok, failure = pcall(fn)
  if ok then return false, "should raise an error" .. (expected == nil and "" or values(expected, nil)) end
  return is_expected_failure(expected, failure), "should raise another error" .. values(expected, failure), failure
end

function checks.error_matches(fn, pattern)
  local ok, failure = pcall(fn)
  if ok then return false, "should raise an error that matches " .. inspect(pattern) end
  local text = tostring(failure)
  return find(text, pattern) ~= nil, "should raise an error that matches" .. values(pattern, text), failure
end

for _, name in ipairs { "boolean", "number", "string", "table", "function" } do
  checks[name] = function(value)
    return type(value) == name, "should be a " .. name .. "\ngot:      " .. inspect(value)
  end
end

local aliases = { equals = "equal", errors = "error", match = "matches" }
local words = { is = true, are = true, was = true, has = true, have = true, does = true, be = true }

local function check(name, negated)
  return function(...)
    local holds, what, result = checks[name](...)
    if holds == not negated then return result == nil and true or result end
    fail("assert: " .. (negated and "not: " or "") .. what)
  end
end

-- assert.is_not_nil and assert.is.Not.Nil are the same: words that say nothing, perhaps "not", and a name.
local function find_assertion(text, negated)
  local name = {}
  for word in gmatch(lower(text), "[^_]+") do
    if #name == 0 and (word == "no" or word == "not") then
      negated = not negated
    elseif #name > 0 or not words[word] then
      name[#name + 1] = word
    end
  end
  name = concat(name, "_")
  if name == "" then
    return setmetatable({}, { __index = function(_, more) return find_assertion(more, negated) end })
  end
  name = aliases[name] or name
  if not checks[name] then fail("assert has no '" .. text .. "'") end
  return check(name, negated)
end

---Assertions, named as in busted; they show both values when they fail. `is`, `are`, `has`, `was`
---and the like may stand before a name and say nothing, `not` turns it round: `assert.are.equal`,
---`assert.is_not_nil`. `assert(value)` is Lua's own.
---@class minnow.Assert

---Equal as == has it.
---@param expected any
---@param actual any
---function Assert.equal(expected, actual)

---Equal, tables by what is in them, at any depth. Metatables are not looked at.
---@param expected any
---@param actual any
---function Assert.same(expected, actual)

---@param value any
---function Assert.is_true(value)

---@param value any
---function Assert.is_false(value)

---@param value any
---function Assert.is_nil(value)

---Neither nil nor false.
---@param value any
---function Assert.truthy(value)

---@param value any
---function Assert.falsy(value)

---A number that differs by no more than the tolerance.
---@param expected number
---@param actual number
---@param tolerance number
---function Assert.near(expected, actual, tolerance)

---A text in which the Lua pattern is found.
---@param pattern string
---@param text string
---function Assert.matches(pattern, text)

---The function raises an error: any, one with this message, or one with these fields.
---@param fn fun()
---@param expected? string|table
---@return any  -- the error
---function Assert.has_error(fn, expected)

---The function raises an error whose text has the Lua pattern.
---@param fn fun()
---@param pattern string
---@return any  -- the error
---function Assert.error_matches(fn, pattern)

---@param value any
---function Assert.is_boolean(value)

---@param value any
---function Assert.is_number(value)

---@param value any
---function Assert.is_string(value)

---@param value any
---function Assert.is_table(value)

---@param value any
---function Assert.is_function(value)

---Only in a file that `minnow test` runs.
---@type minnow.Assert
---assert = nil
local lua_assert = assert
local assertions = setmetatable({}, {
  __index = function(_, name) return find_assertion(tostring(name), false) end,
  __call = function(_, ...) return lua_assert(...) end,
})

-- --- The file

-- Where the script is now, "x_test.lua:12".
local function here()
  local _, failure = pcall(fail, "")
  return match(failure.where, "^(.*): $") or ""
end

-- Runs the file's top level and gives its tests in their order.
local function read(file)
  local tests = {}
  local block = { path = {}, before = {}, after = {} }

  local function add(what, name, fn, status)
    if type(name) ~= "string" then fail(what .. ": expected a name, got " .. type(name)) end
    if status ~= "pending" and type(fn) ~= "function" then fail(what .. ": expected a function, got " .. type(fn)) end
    tests[#tests + 1] = { name = name, fn = fn, block = block, where = here(), pending = status == "pending" }
  end

  ---Names what stands in it; may stand in another.
  ---@param name string
  ---@param fn fun()
  ---function describe(name, fn)

  ---The same as describe.
  ---@param name string
  ---@param fn fun()
  ---function context(name, fn)
  function _G.describe(name, fn)
    if type(name) ~= "string" or type(fn) ~= "function" then fail "describe: expected a name and a function" end
    local outer = block
    block = { path = { unpack(outer.path) }, before = {}, after = {}, outer = outer }
    block.path[#block.path + 1] = name
    fn()
    block = outer
  end
  ---A test. It has a state of its own, in which the file's top level has run again, and a
  ---document's budget.
  ---@param name string
  ---@param fn fun()
  ---function it(name, fn)
  function _G.it(name, fn) add("it", name, fn) end
  ---A test that is still to be written.
  ---@param name string
  ---@param fn? fun()
  ---function pending(name, fn)
  function _G.pending(name) add("pending", name, nil, "pending") end
  ---Runs before each test of the describe, those of outer ones first.
  ---@param fn fun()
  ---function before_each(fn)
  function _G.before_each(fn)
    if type(fn) ~= "function" then fail("before_each: expected a function, got " .. type(fn)) end
    block.before[#block.before + 1] = fn
  end
  ---Runs after each test of the describe, also after one that failed, those of inner ones first.
  ---@param fn fun()
  ---function after_each(fn)
  function _G.after_each(fn)
    if type(fn) ~= "function" then fail("after_each: expected a function, got " .. type(fn)) end
    block.after[#block.after + 1] = fn
  end
  _G.context, _G.assert = _G.describe, assertions
  file()
  for _, name in ipairs { "describe", "context", "it", "pending", "before_each", "after_each" } do
    _G[name] = function() fail(name .. " stands in a describe or at the top of the file, not inside a test") end
  end
  return tests
end

-- Outer ones first.
local function before(block)
  if block.outer then before(block.outer) end
  for _, fn in ipairs(block.before) do fn() end
end

-- Inner ones first, all of them; the first failure is given.
local function after(block, failure)
  while block do
    for i = #block.after, 1, -1 do
      local ok, other = pcall(block.after[i])
      if not ok and failure == nil then failure = other end
    end
    block = block.outer
  end
  return failure
end

local Pipeline = {}
Pipeline.__index = Pipeline
Pipeline.__name = "minnow.test.Pipeline"

local fields = { id = "string", path = "string", text = "string", meta = "table" }

---A pipeline under test.
---@class minnow.TestedPipeline

---@class minnow.TestDocument
---@field id? string  -- "document"
---@field path? string  -- ""
---@field text? string  -- ""
---@field meta? table

---What the pipeline's run returns for the document, after it was JSON. Waits. What run raises is
---raised here.
---@param document string|minnow.TestDocument  -- a string is its text
---@return any
---function TestedPipeline:run(document)
function Pipeline:run(document)
  if type(document) == "string" then document = { text = document } end
  if type(document) ~= "table" then fail("run: the document should be a table or its text, got " .. type(document)) end
  for name, value in pairs(document) do
    if not fields[name] then fail("run: unknown field '" .. tostring(name) .. "' (known: id, meta, path, text)") end
    if type(value) ~= fields[name] then
      fail("run: field '" .. name .. "' should be a " .. fields[name] .. ", got " .. type(value))
    end
  end
  return self.run_document(self.handle, document.id or "document", document.path or "", document.text or "",
    document.meta or {})
end

---What is there in files that `minnow test` runs.
---minnow.test = {}

---Loads a pipeline file.
---@param path string  -- relative to the test file
---@return minnow.TestedPipeline
---function minnow.test.pipeline(path)
local function install(load_pipeline, run_document)
  minnow.test = {
    pipeline = function(path)
      if type(path) ~= "string" then fail("pipeline: the path should be a string, got " .. type(path)) end
      return setmetatable({ handle = load_pipeline(path), run_document = run_document }, Pipeline)
    end,
  }
end

local M = {}

-- The tests as the host sees them. `filter`: those whose full name has this pattern; "" is all.
function M.list(file, filter, load_pipeline, run_document)
  install(load_pipeline, run_document)
  local list = array {}
  for i, test in ipairs(read(file)) do
    local path = { unpack(test.block.path) }
    path[#path + 1] = test.name
    if filter == "" or find(concat(path, " "), filter) then
      list[#list + 1] = { index = i, path = path, where = test.where, pending = test.pending }
    end
  end
  return list
end

function M.run(file, index, load_pipeline, run_document)
  install(load_pipeline, run_document)
  local test = read(file)[index]
  local ok, failure = pcall(function()
    before(test.block)
    test.fn()
  end)
  if ok then failure = nil elseif failure == nil then failure = "nil" end
  failure = after(test.block, failure)
  if failure ~= nil then error(failure, 0) end
end

return M
