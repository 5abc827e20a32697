-- Schemas of answers: JSON Schema (2020-12), written so that the order of fields is kept.
--
-- A schema is a table that is a JSON Schema itself. Its metatable tells in which order its keywords
-- are written, and that it is one. Definitions stand at the root of a schema, which is where
-- references look for them: whatever a schema is put into takes them over.

local native = ...
local getmetatable, ipairs, next, pairs, setmetatable, tostring, type =
  getmetatable, ipairs, next, pairs, setmetatable, tostring, type
local concat, sort = table.concat, table.sort
local find, math_type = string.find, math.type
local array, fail = native.array, native.fail

---What answers may be: an ordered form of JSON Schema. Fields are written in the order of their
---list, so what a model should settle first stands first. Unknown options raise invalid and say what
---there is.
---
---    local s = minnow.schema
---    local Receipt = s.object {
---      { "company", s.string { from_source = true } },
---      { "total", s.number { min = 0 } },
---      { "note", s.string {}, optional = true },
---    }
---minnow.schema = {}

---What the constructors of minnow.schema make: a JSON Schema as a table.
---@class minnow.Schema

local schema = {}

local NAME = "minnow.schema"
local OPTIONAL = { __name = "minnow.schema.optional", __metatable = "minnow.schema.optional" }

-- A table whose keywords are written in this order.
local function make(entries)
  local value, order = {}, {}
  for _, entry in ipairs(entries) do
    if entry[2] ~= nil then
      order[#order + 1] = entry[1]
      value[entry[1]] = entry[2]
    end
  end
  return setmetatable(value, { __order = order, __name = NAME })
end

local function is_schema(value)
  local metatable = type(value) == "table" and getmetatable(value)
  return type(metatable) == "table" and metatable.__name == NAME
end

-- --- Definitions

local function new_definitions() return { order = {}, types = {} } end

local function define(definitions, name, definition)
  local before = definitions.types[name]
  if before == definition then return end
  if before then fail("schema: '" .. name .. "' is defined twice, by different types") end
  definitions.order[#definitions.order + 1] = name
  definitions.types[name] = definition
end

local function definitions_of(definitions)
  if #definitions.order == 0 then return nil end
  local entries = {}
  for i, name in ipairs(definitions.order) do entries[i] = { name, definitions.types[name] } end
  return make(entries)
end

-- The part as it stands inside of another, which takes its definitions.
local function part(call, what, value, definitions)
  if not is_schema(value) then
    fail(call .. ": " .. what .. " should be made by minnow.schema, such as s.string {}, got " ..
      (getmetatable(value) == OPTIONAL.__metatable and "s.optional" or type(value)))
  end
  if getmetatable(value).is_whole then
    fail(call .. ": " .. what .. " has references to its own root, so it cannot be a part of another")
  end
  local own = value["$defs"]
  if not own then return value end
  for _, name in ipairs(getmetatable(own).__order) do define(definitions, name, own[name]) end
  local entries = {}
  for _, name in ipairs(getmetatable(value).__order) do
    if name ~= "$defs" then entries[#entries + 1] = { name, value[name] } end
  end
  return make(entries)
end

-- --- Options

local function listed(known)
  local names = {}
  for i, option in ipairs(known) do names[i] = option[1] end
  sort(names)
  return concat(names, ", ")
end

local KINDS = {
  boolean = "true or false", count = "an integer from 0 on", list = "a list that is not empty",
}

local function read_value(call, name, kind, value)
  local ok = type(value) == kind
  if kind == "count" then ok = math_type(value) == "integer" and value >= 0 end
  if kind == "list" then ok = type(value) == "table" and #value > 0 end
  if not ok then
    fail(call .. ": option '" .. name .. "' should be " .. (KINDS[kind] or "a " .. kind) .. ", got " .. type(value))
  end
  if kind == "boolean" and value == false then return nil end
  if kind ~= "list" then return value end
  local copy = {}
  for i, item in ipairs(value) do copy[i] = item end
  return array(copy)
end

-- Adds the keywords that the options stand for. known: { option, keyword, kind }.
local function read_options(entries, call, options, known)
  if options == nil then return end
  if type(options) ~= "table" then
    fail(call .. ": options should be a table, got " .. type(options))
  end
  local names = {}
  for _, option in ipairs(known) do names[option[1]] = true end
  for name in pairs(options) do
    if not names[name] then
      fail(call .. ": unknown option '" .. tostring(name) .. "' (known: " .. listed(known) .. ")")
    end
  end
  for _, option in ipairs(known) do
    local value = options[option[1]]
    if value ~= nil then
      entries[#entries + 1] = { option[2], read_value(call, option[1], option[3], value) }
    end
  end
end

local DESCRIPTION = { "description", "description", "string" }
local FROM_SOURCE = { "from_source", "x-from-source", "boolean" }
local NORMALIZE = { "normalize", "x-normalize", "string" }

local STRING = {
  DESCRIPTION, { "enum", "enum", "list" }, { "pattern", "pattern", "string" }, { "format", "format", "string" },
  { "min_length", "minLength", "count" }, { "max_length", "maxLength", "count" },
  FROM_SOURCE, { "fuzzy_space", "x-fuzzy-space", "boolean" }, NORMALIZE,
}
local NUMBER = {
  DESCRIPTION, { "min", "minimum", "number" }, { "max", "maximum", "number" },
  { "multiple_of", "multipleOf", "number" }, FROM_SOURCE, NORMALIZE,
}
local ARRAY = { DESCRIPTION, { "min", "minItems", "count" }, { "max", "maxItems", "count" } }
local PLAIN = { DESCRIPTION }

local function plain(call, options, known)
  local entries = { { "type", call } }
  read_options(entries, call, options, known)
  return make(entries)
end

-- --- Constructors

---@class minnow.StringOptions
---@field description? string  -- what it is, for the model
---@field from_source? boolean  -- it is copied from the document, byte for byte
---@field fuzzy_space? boolean  -- with from_source: white space may differ from the document's
---@field normalize? "date"|"number"|"currency"|"phone"  -- tell what it means, too: `normalized`
---@field pattern? string  -- a regular expression that has to match somewhere in it
---@field format? string  -- date, time, date-time, duration, email, uri, uuid, ipv4, ipv6, hostname
---@field min_length? integer  -- in characters
---@field max_length? integer
---@field enum? string[]  -- one of these

---A string.
---@param options? minnow.StringOptions
---@return minnow.Schema
---function minnow.schema.string(options)
function schema.string(options) return plain("string", options, STRING) end

---@class minnow.NumberOptions
---@field description? string
---@field min? number
---@field max? number
---@field multiple_of? number
---@field from_source? boolean  -- it is written in the document as it is in the answer
---@field normalize? "date"|"number"|"currency"|"phone"

---A number.
---@param options? minnow.NumberOptions
---@return minnow.Schema
---function minnow.schema.number(options)
function schema.number(options) return plain("number", options, NUMBER) end

---A number without a fraction.
---@param options? minnow.NumberOptions
---@return minnow.Schema
---function minnow.schema.integer(options)
function schema.integer(options) return plain("integer", options, NUMBER) end

---@class minnow.TypeOptions
---@field description? string

---true or false.
---@param options? minnow.TypeOptions
---@return minnow.Schema
---function minnow.schema.boolean(options)
function schema.boolean(options) return plain("boolean", options, PLAIN) end

---null, which Lua has as minnow.null.
---@param options? minnow.TypeOptions
---@return minnow.Schema
---function minnow.schema.null(options)
function schema.null(options) return plain("null", options, PLAIN) end

---One of these values.
---@param values any[]
---@return minnow.Schema
---function minnow.schema.enum(values)
function schema.enum(values)
  return make { { "enum", read_value("enum", "values", "list", values) } }
end

---This value.
---@param value any
---@return minnow.Schema
---function minnow.schema.const(value)
function schema.const(value)
  if value == nil then fail "const: the value is missing; null is minnow.null" end
  return make { { "const", value } }
end

-- One entry of an object's list.
local function read_field(i, field, definitions)
  local place = "field " .. i
  if type(field) ~= "table" or type(field[1]) ~= "string" then
    fail("object: " .. place .. " should be { \"name\", type }, got " .. type(field))
  end
  for name in pairs(field) do
    if name ~= 1 and name ~= 2 and name ~= "optional" then
      fail("object: " .. place .. " ('" .. field[1] .. "') has an unknown option '" .. tostring(name) ..
        "' (known: optional)")
    end
  end
  local value, optional = field[2], field.optional
  if getmetatable(value) == OPTIONAL.__metatable then value, optional = value.type, true end
  if optional ~= nil and type(optional) ~= "boolean" then
    fail("object: " .. place .. ": option 'optional' should be true or false, got " .. type(optional))
  end
  return part("object", place .. " ('" .. field[1] .. "')", value, definitions), optional
end

---An object with these fields, in this order, and no others. A field is { name, type }; one that may
---be left out is { name, type, optional = true } or has a type from minnow.schema.optional.
---@param fields [string, minnow.Schema][]
---@return minnow.Schema
---function minnow.schema.object(fields)
function schema.object(fields)
  if type(fields) ~= "table" then
    fail("object: fields should be a list of { name, type }, got " .. type(fields))
  end
  local key = next(fields, #fields > 0 and #fields or nil)
  if key ~= nil then
    fail("object: fields should be a list of { name, type }, which keeps their order; got an entry named '" ..
      tostring(key) .. "'")
  end
  local definitions, properties, required, seen = new_definitions(), {}, {}, {}
  for i, field in ipairs(fields) do
    local value, optional = read_field(i, field, definitions)
    if seen[field[1]] then fail("object: field '" .. field[1] .. "' is there twice") end
    seen[field[1]] = true
    properties[i] = { field[1], value }
    if not optional then required[#required + 1] = field[1] end
  end
  return make {
    { "type", "object" }, { "properties", make(properties) }, { "required", #required > 0 and array(required) or nil },
    { "additionalProperties", false }, { "$defs", definitions_of(definitions) },
  }
end

---The type of a field that may be left out of its object.
---@param type minnow.Schema
---@return table
---function minnow.schema.optional(type)
function schema.optional(value)
  if not is_schema(value) then part("optional", "the type", value) end
  return setmetatable({ type = value }, OPTIONAL)
end

---@class minnow.ArrayOptions
---@field description? string
---@field min? integer  -- items, at least
---@field max? integer  -- items, at most

---A list of such items.
---@param item minnow.Schema
---@param options? minnow.ArrayOptions
---@return minnow.Schema
---function minnow.schema.array(item, options)
function schema.array(item, options)
  local definitions = new_definitions()
  local entries = { { "type", "array" }, { "items", part("array", "the item", item, definitions) } }
  read_options(entries, "array", options, ARRAY)
  entries[#entries + 1] = { "$defs", definitions_of(definitions) }
  return make(entries)
end

local function parts(call, types, definitions)
  if type(types) ~= "table" or #types == 0 then
    fail(call .. ": a list of types is needed, got " .. (type(types) == "table" and "an empty one" or type(types)))
  end
  local list = {}
  for i, value in ipairs(types) do list[i] = part(call, "type " .. i, value, definitions) end
  return array(list)
end

---A list of as many items as there are types, each of its own.
---@param types minnow.Schema[]
---@return minnow.Schema
---function minnow.schema.tuple(types)
function schema.tuple(types)
  local definitions = new_definitions()
  local list = parts("tuple", types, definitions)
  return make {
    { "type", "array" }, { "prefixItems", list }, { "items", false }, { "minItems", #list },
    { "$defs", definitions_of(definitions) },
  }
end

---What any of these types allows.
---@param types minnow.Schema[]
---@return minnow.Schema
---function minnow.schema.any_of(types)
function schema.any_of(types)
  local definitions = new_definitions()
  local list = parts("any_of", types, definitions)
  return make { { "anyOf", list }, { "$defs", definitions_of(definitions) } }
end

local function check_name(call, name)
  if type(name) ~= "string" or not find(name, "^[%w_.-]+$") then
    fail(call .. ": a name has letters, digits and _.- in it, got " ..
      (type(name) == "string" and "'" .. name .. "'" or type(name)))
  end
end

---A type by the name that minnow.schema.define gives it, inside of that type too: so it contains
---itself.
---@param name string
---@return minnow.Schema
---function minnow.schema.ref(name)
function schema.ref(name)
  check_name("ref", name)
  return make { { "$ref", "#/$defs/" .. name } }
end

---The type, which minnow.schema.ref finds by this name wherever it is a part of.
---@param name string  -- letters, digits, and _.-
---@param type minnow.Schema
---@return minnow.Schema
---function minnow.schema.define(name, type)
function schema.define(name, value)
  check_name("define", name)
  local definitions = new_definitions()
  define(definitions, name, part("define", "'" .. name .. "'", value, definitions))
  return make { { "$ref", "#/$defs/" .. name }, { "$defs", definitions_of(definitions) } }
end

-- --- JSON Schema

---The text of the schema as JSON Schema (draft 2020-12), in its order.
---@param type minnow.Schema
---@return string
---function minnow.schema.to_json_schema(type)
function schema.to_json_schema(value)
  if not is_schema(value) then part("to_json_schema", "the type", value) end
  return native.json.encode(value)
end

-- Does it refer to anything but definitions at its root?
local function refers_elsewhere(value)
  if type(value) ~= "table" then return false end
  for name, inner in pairs(value) do
    if name == "$ref" and type(inner) == "string" and not find(inner, "^#/%$defs/[^/]*$") then return true end
    if name == "$id" or name == "$anchor" or name == "$dynamicRef" or refers_elsewhere(inner) then return true end
  end
  return false
end

---A schema of the text of a JSON Schema, whose order is kept.
---@param text string
---@return minnow.Schema
---function minnow.schema.from_json_schema(text)
function schema.from_json_schema(text)
  local value = native.decode_ordered(text)
  local metatable = type(value) == "table" and getmetatable(value)
  if type(value) ~= "table" or type(metatable) == "string" then
    fail "from_json_schema: the text should be a JSON object"
  end
  metatable = metatable or { __order = {} }
  metatable.__name = NAME
  metatable.is_whole = refers_elsewhere(value)
  return setmetatable(value, metatable)
end

return schema
