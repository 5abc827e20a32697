-- What is described (module "api", written by lua_api_test.py) is there, what is there is described, and the options
-- are those that the code takes. Run by lua_api_test.py.

local minnow = require "minnow"
local api = minnow.json.decode(require "api")
local slm = minnow.model "minnow-demo"
assert.is_not_nil(minnow.schema)  -- which is there once it was asked for

local function set(list)
  local names = {}
  for _, name in ipairs(list) do names[name] = true end
  return names
end

-- The names that the message "... (known: a, b)" lists.
local function listed(failure, word)
  local names = {}
  for name in (failure.message:match("%(" .. word .. ": (.-)%)") or ""):gmatch "[%w_]+" do names[name] = true end
  return names
end

local function fields_of(table)
  local names = {}
  for name in pairs(table) do names[name] = true end
  return names
end

-- A value for an argument of this type.
local function sample(type)
  local samples = {
    string = "x", number = 1, ["string|minnow.Document"] = "x", ["string|minnow.Message[]"] = "x",
    ["minnow.Schema"] = minnow.schema.string(), ["minnow.Schema|string"] = "{}",
    ["minnow.Message[]"] = { { role = "user", content = "x" } }, ["T[]"] = {}, ["string[]"] = { "x", "y" },
  }
  if type:find "^fun" then return function() end end
  return samples[type] or error("api_test.lua has no sample of the type " .. type)
end

-- Where the functions that belong to `owner` are.
local function find_table(owner)
  if owner == "Model" then return slm end
  if owner == "Context" then return slm:context "x" end
  local found = _G
  for name in owner:gmatch "[^.]+" do found = name == "minnow" and minnow or found[name] end
  return found
end

describe("each description", function()
  for _, item in ipairs(api.functions) do
    it(item.name .. " is of something that is there", function()
      if item.owner == "" then return assert.is_true(item.short == "assert" or rawget(_G, item.short) ~= nil) end
      if item.owner == "TestedPipeline" then return end  -- test_file_test.cc runs it
      local found = item.owner == "Assert" and assert or find_table(item.owner)
      assert.is_not_nil(found[item.short])
    end)
  end
end)

describe("each field", function()
  for owner, names in pairs(api.members) do
    it("of " .. owner .. " is described", function()
      local there
      if owner == "Model" or owner == "Context" then
        there = listed(assert.has_error(function() return find_table(owner).no_such end), "it has")
      else
        there = fields_of(find_table(owner))
      end
      assert.same(set(names), there)
    end)
  end
end)

describe("the options of", function()
  for _, item in ipairs(api.options) do
    it(item.name .. " are those of the code", function()
      local owner = find_table(item.owner)
      local arguments = {}
      if item.is_method then arguments[1] = owner end
      for _, type in ipairs(item.before) do arguments[#arguments + 1] = sample(type) end
      arguments[#arguments + 1] = { no_such = 1 }
      local failure = assert.has_error(function()
        local iterator = owner[item.short](table.unpack(arguments))
        if type(iterator) == "userdata" then iterator() end
      end)
      assert.same(set(item.fields), listed(failure, "known"))
    end)
  end
end)
