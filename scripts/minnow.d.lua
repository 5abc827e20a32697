---@meta minnow
-- What `require "minnow"` gives, for editors and language servers (LuaCATS). Nothing here is run.
-- Written by tools/lua_api.py from the comments beside the code.

---@class minnow.TokenLogprob
---@field token integer
---@field logprob number  -- natural logarithm
---@field top? minnow.TokenLogprob[]  -- the likeliest tokens of this place, the best first

---@class minnow.Usage
---@field prompt_tokens integer
---@field completion_tokens integer

---@class minnow.Answer
---@field text string  -- without the stop string
---@field finish_reason "stop"|"length"
---@field tokens integer[]
---@field usage minnow.Usage
---@field overflow? minnow.Overflow  -- if not all of the document fitted
---@field parts? minnow.Answer[]  -- with on_overflow = "chunk": of each part
---@field fingerprint string  -- of the model, the build, the devices and the options: the same
---prompt with the same fingerprint has the same answer. Empty in an answer that is replayed.
---@field logprobs? minnow.TokenLogprob[]  -- if the option asked for them
---@field tool_calls? minnow.ToolCall[]  -- with tools: empty if the answer is in words

---@class minnow.ToolCall
---@field name string
---@field arguments table  -- keeps the order of its fields

---What of a document (of a prompt, the last user's message, a text) an answer is about, where it was
---too long. Bytes are counted from 1, both ends included.
---@class minnow.Overflow
---@field on_overflow "head"|"tail"|"middle"|"chunk"
---@field document_bytes integer
---@field kept integer[][]  -- the parts that were kept or, of chunks, asked about: { first, last }

---@class minnow.EmbedOptions
---@field on_overflow? "error"|"head"|"tail"|"middle"|"chunk"  -- "error"; what to keep of a text that
---is too long: its head, its tail, both without the middle, or all of it in parts, of whose vectors
---the mean is taken

---@class minnow.Message
---@field role string  -- "system", "user", "assistant", "tool"
---@field content string
---@field tool_calls? table[]  -- of an assistant that called tools: docs/tools.md

---@class minnow.ScoredContinuation
---@field logprob number  -- of the whole continuation: the sum
---@field tokens integer[]
---@field token_logprobs number[]  -- natural logarithms, each after all that stands before it

---@class minnow.GenerateOptions
---@field max_tokens? integer  -- 256
---@field temperature? number  -- 0: the likeliest token each time
---@field top_k? integer  -- 0: off
---@field top_p? number  -- 1: off
---@field min_p? number  -- 0: off
---@field seed? integer  -- 0; the same seed gives the same answer
---@field stop? string|string[]  -- ends the answer before this text
---@field logprobs? integer  -- 0; how many of the likeliest tokens to tell for each place
---@field on_overflow? "error"|"head"|"tail"|"middle"|"chunk"  -- "error"; what to keep of a document
---(of generate: the prompt; of chat: the last user's message) that is too long: its head, its tail,
---both without the middle, or, of ask alone, all of it in parts, each of which is asked about: the
---answer has the texts of all, one a line, and `parts`
---@field speculate? boolean  -- true; guess ahead where that is faster. The answer is the same.
---@field schema? minnow.Schema|string  -- the answer is JSON of this schema (docs/extract.md). Of the
---six that limit it, an answer has one, and no stop.
---@field regex? string  -- the whole answer matches it
---@field grammar? string  -- GBNF
---@field lark? string  -- a grammar in the spelling of Lark
---@field choice? string[]  -- the answer is one of these
---@field tools? minnow.Tool[]|string  -- of chat: the answer is calls of these (docs/tools.md)
---@field tool_choice? string  -- "required"; "auto": calls or words; or the name of a tool
---@field tool_format? "auto"|"json"|"hermes"|"llama3"  -- "auto": as the template writes calls

---@class minnow.Tool
---@field type "function"
---@field function { name: string, description: string?, parameters: minnow.Schema? }

---@class minnow.ClassifyOptions
---@field top_k? integer  -- 0: all; of how many labels the probabilities are told, the likeliest
---@field abstain? number  -- 0; below this probability of the likeliest there is no label
---@field multi? boolean  -- false; each label by itself: the question has {label} where it goes
---@field threshold? number  -- 0.5; with multi, the probability from which on a label is one
---@field length? "whole"|"mean"  -- "whole"; labels by their log-probability, or by its mean by token
---@field prior? boolean  -- false; divides by the probabilities that labels have about no document
---@field on_overflow? "error"|"head"|"tail"|"middle"|"chunk"  -- "error"; what to keep of a document
---that is too long: its head, its tail, both without the middle, or all of it in parts, whose
---probabilities are averaged

---One question of several about a document. Its options come before those of the call.
---@class minnow.LabelQuestion
---@field question string
---@field labels string[]
---@field top_k? integer
---@field abstain? number
---@field multi? boolean
---@field threshold? number
---@field length? "whole"|"mean"
---@field prior? boolean

---@class minnow.RankedLabel
---@field label string
---@field probability number

---@class minnow.Classification
---@field label? string  -- the likeliest; nil if it abstains, and with multi
---@field abstained? boolean  -- true if the likeliest was below the option's abstain
---@field probability? number  -- of the likeliest, among the labels; nil with multi
---@field labels? string[]  -- with multi: those that it says yes to
---@field probabilities table<string, number>  -- they sum to 1; with multi each is by itself
---@field ranking minnow.RankedLabel[]  -- the likeliest first
---@field fingerprint string  -- as of an answer
---@field overflow? minnow.Overflow  -- if not all of the document fitted

---@class minnow.ExtractOptions
---@field instruction? string  -- what is asked of the document; without it, the form of the schema
---is shown
---@field max_tokens? integer  -- 512; the JSON is whole within them
---@field temperature? number  -- 0: the likeliest token each time
---@field top_k? integer  -- 0: off
---@field top_p? number  -- 1: off
---@field min_p? number  -- 0: off
---@field seed? integer  -- 0; the same seed gives the same answer
---@field speculate? boolean  -- true; guess ahead where that is faster. The answer is the same.
---@field on_overflow? "error"|"head"|"tail"|"middle"  -- "error"; what the model reads of a document
---that is too long. What is copied may come from all of it.

---Where a document has a value: bytes from 1, both ends included, as string.sub wants them.
---@class minnow.SourceSpan
---@field begin integer
---@field finish integer
---@field line integer  -- of its beginning, from 1

---@class minnow.ExtractedField
---@field confidence number  -- 0 to 1: the geometric mean of the probabilities of the tokens that the
---model chose for it; 1 if the schema left it no choice
---@field spans? minnow.SourceSpan[]  -- with from_source: wherever the document has it
---@field normalized? any  -- with normalize: what it means; nil where that cannot be told

---@class minnow.Extraction
---@field value any  -- a table that keeps the order of its fields; null is minnow.null
---@field json string  -- the same as the model wrote it
---@field fields table<string, minnow.ExtractedField>  -- of each value that has no others in it, by
---its JSON pointer: "/lines/0/price"
---@field usage minnow.Usage
---@field fingerprint string  -- as of an answer
---@field overflow? minnow.Overflow  -- if the model read not all of the document

---@class minnow.HttpResponse
---@field status integer
---@field headers table<string, string>  -- names in lower case
---@field body string  -- 16 MiB at most

---@class minnow.HttpOptions
---@field headers? string|string[]  -- "Name: value"
---@field timeout? number  -- seconds for all of it, 30

---@class minnow.AdapterOptions
---@field scale? number  -- 1; how much of the adapter

---What a pipeline's run gets.
---@class minnow.Document
---@field id string
---@field path string  -- "" if it came from no file
---@field text string
---@field meta table  -- what else the input said about it

---What a pipeline file has to return.
---@class minnow.Pipeline

---@class minnow.PipelineSpec
---@field name string
---@field run fun(document: minnow.Document): any  -- what it returns is the result, as JSON

---@class minnow.MapOptions
---@field concurrency? integer  -- 64; how many items are under way at once

---What kind of failure it is. `minnow batch` writes it into the record, gRPC has codes of its own
---for it.
---@alias minnow.ErrorCode
---| "invalid"  # an argument or an option is wrong
---| "not_found"  # no such model, file or module
---| "out_of_range"  # beyond a limit, such as the context length
---| "precondition"  # not here, not now, or not with this model
---| "unsupported"  # nothing here can do it
---| "exhausted"  # a budget, the memory or a queue
---| "deadline"  # it took longer than it was given
---| "cancelled"  # ended from outside
---| "unavailable"  # for the moment
---| "corrupt"  # a file or message that is not what it claims to be
---| "device_lost"  # the device is gone, and with it all requests
---| "internal"  # a mistake of the program or of a plugin

---What the functions of the library raise. tostring gives the message with its place before it.
---@class minnow.Error
---@field code minnow.ErrorCode
---@field message string
---@field where string  -- "triage.lua:12: ", or "" where no line of the script is known

---What the constructors of minnow.schema make: a JSON Schema as a table.
---@class minnow.Schema

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

---@class minnow.NumberOptions
---@field description? string
---@field min? number
---@field max? number
---@field multiple_of? number
---@field from_source? boolean  -- it is written in the document as it is in the answer
---@field normalize? "date"|"number"|"currency"|"phone"

---@class minnow.TypeOptions
---@field description? string

---@class minnow.ArrayOptions
---@field description? string
---@field min? integer  -- items, at least
---@field max? integer  -- items, at most

---@class minnow.TestDocument
---@field id? string  -- "document"
---@field path? string  -- ""
---@field text? string  -- ""
---@field meta? table

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
local minnow = {}

---Calls fn(item, i) for all items at once and gives the results in the items' order. Waits for all
---of them. When a call fails, no further one is begun, and the failure of the first item that has
---one is raised when those under way have ended.
---@generic T, R
---@param list T[]
---@param fn fun(item: T, i: integer): R
---@param options? minnow.MapOptions
---@return R[]
function minnow.map(list, fn, options) end

---Calls all functions at once and returns the first result of each. Waits and fails as minnow.map
---does.
---@param functions (fun(): any)[]
---@return any ...
function minnow.all(functions) end

---Calls fn(...) and gives its results, unless it takes longer than so many seconds: then all that
---it does is cancelled, and deadline is raised. Waits.
---@param seconds number
---@param fn fun(...): any
---@param ... any
---@return any ...
function minnow.timeout(seconds, fn, ...) end

---A table whose fields JSON writes in this order; others are written after them by name.
---@param entries [string, any][]
---@return table
function minnow.ordered(entries) end

---A value as people read it, in Lua's notation: strings in quotes, fields by name, long tables
---over several lines. For messages and logs; minnow.json.encode is for programs. Ends with "..."
---after 64 KB.
---@param value any
---@return string
function minnow.inspect(value) end

---The list itself, which JSON writes as [] even while it is empty.
---@generic T
---@param list T[]
---@return T[]
function minnow.array(list) end

---JSON's null, where Lua's nil would leave nothing.
---@type lightuserdata
minnow.null = nil

---Opens a model, or finds it open. The top level of a file opens it when the file is loaded;
---inside run, a name that was not opened there waits for it. Raises not_found, corrupt or
---unsupported, with the reason.
---@param name string  -- a file's path, or its name in the model directories
---@return minnow.Model
function minnow.model(name) end

---What a pipeline file returns. Its top level runs once when the file is loaded, and again before
---each document; it cannot wait. An error that run raises is the record of its document, and
---touches no other.
---@param spec minnow.PipelineSpec
---@return minnow.Pipeline
function minnow.pipeline(spec) end

---Waits without holding up anyone else.
---@param seconds number  -- from 0 on
function minnow.sleep(seconds) end

---A document that several questions are asked about. It is read once: by the first of them.
---@class minnow.Context
---@field model minnow.Model
---@field document string
local Context = {}

---As Model:ask, about the context's document.
---@param question string
---@param options? minnow.GenerateOptions
---@return minnow.Answer
function Context:ask(question, options) end

---As Model:classify, about the context's document: one question with its labels, or a list of
---questions.
---@param question string
---@param labels string[]  -- at least two
---@param options? minnow.ClassifyOptions
---@return minnow.Classification
---@overload fun(self, questions: minnow.LabelQuestion[], options?: minnow.ClassifyOptions): minnow.Classification[]
function Context:classify(question, labels, options) end

---As Model:extract, about the context's document.
---@param schema minnow.Schema|string
---@param options? minnow.ExtractOptions
---@return minnow.Extraction
function Context:extract(schema, options) end

---Reads the document now, and keeps its part of the model's cache until unpin, or until the run of
---this document ends; of a model through an adapter, the adapter's place too. Waits. Raises exhausted
---when pins would take more than half the cache, unsupported when the model keeps nothing that
---questions could share.
---@return minnow.Context  -- itself
function Context:pin() end

---Gives up what pin has kept.
function Context:unpin() end

---Writes the document, and what the model has computed of it, to a file of the folder that was
---granted (`--allow contexts=DIR`), in place of one of that name; pins it if it is not. Waits.
---@param name string  -- letters, digits, and -_. inside of it
function Context:save(name) end

---A model that was opened. Its methods are called with a colon; an unknown one raises an error
---that lists them.
---@class minnow.Model
---@field name string  -- the name that the model's file gives
local Model = {}

---A document that several questions are asked about.
---@param document string|minnow.Document
---@return minnow.Context
function Model:context(document) end

---A context that Context:save has written, pinned: nothing of it is computed again. Waits. Raises
---not_found, corrupt when the file was cut or changed, and precondition when it is of another model,
---adapter, build or device, so that answers could differ.
---@param name string
---@return minnow.Context
function Model:restore(name) end

---Continues a text as it stands, without the chat template. Waits. Raises out_of_range when the
---prompt is longer than the context.
---@param prompt string
---@param options? minnow.GenerateOptions
---@return minnow.Answer
function Model:generate(prompt, options) end

---Answers a conversation, put through the model's chat template. Waits. Raises precondition when
---the model has none, invalid when it refuses the messages.
---@param messages minnow.Message[]
---@param options? minnow.GenerateOptions
---@return minnow.Answer
function Model:chat(messages, options) end

---Answers a question about a document, which stands before it in one user turn. Waits. All
---questions about one document share it, however many there are.
---@param document string|minnow.Document
---@param question string
---@param options? minnow.GenerateOptions
---@return minnow.Answer
function Model:ask(document, question, options) end

---How probable each of a few continuations of a prompt is. All of them take one pass over the
---prompt. Waits. Without continuations it is the prompt itself that is scored, and one score that
---comes back: its first token has no log-probability (minnow.null), and behind the others stands
---the token that is likeliest to follow, which the sum leaves out.
---@param prompt string|minnow.Message[]  -- a text as it stands, or a conversation
---@param continuations string[]  -- at least one, none empty; each tokenized by itself
---@return minnow.ScoredContinuation[]
---@overload fun(self: minnow.Model, prompt: string|minnow.Message[]): minnow.ScoredContinuation
function Model:score(prompt, continuations) end

---The vector of a text, of length 1. Waits. Raises unsupported when the model is no encoder, and
---out_of_range when the text is too long and no option says what to keep of it.
---@param text string|minnow.Document
---@param options? minnow.EmbedOptions
---@return number[]
---@return minnow.Overflow?  -- if not all of the text fitted
function Model:embed(text, options) end

---The tokens of a text, as a prompt would have them.
---@param text string
---@return integer[]
function Model:tokenize(text) end

---How many tokens a text has.
---@param text string
---@return integer
function Model:count(text) end

---Gives the probability of each label as the whole answer to a question about a document. Waits.
---With a list of questions in place of one and its labels it gives a list of answers: all of them
---go through the model together. Raises precondition when the question was calibrated for other
---labels or another model.
---@param document string|minnow.Document
---@param question string
---@param labels string[]  -- at least two, all different, none empty; with multi at least one
---@param options? minnow.ClassifyOptions
---@return minnow.Classification
---@overload fun(self: minnow.Model, document: string|minnow.Document, questions: minnow.LabelQuestion[], options?: minnow.ClassifyOptions): minnow.Classification[]
function Model:classify(document, question, labels, options) end

---A record out of a document: JSON that the schema allows and nothing else, whatever the model says.
---Waits. Raises invalid, with the place in the schema, for what cannot be enforced, before any
---token is made; and when the schema's shortest answer has more than max_tokens.
---@param document string|minnow.Document
---@param schema minnow.Schema|string  -- of minnow.schema, or JSON Schema as text
---@param options? minnow.ExtractOptions
---@return minnow.Extraction
function Model:extract(document, schema, options) end

---The same model through an adapter (LoRA). Calls through several adapters, and without any,
---share their batches. Waits as minnow.model does. Raises invalid for a model that has an adapter
---already. There is nothing to close: of more adapters than have places (--adapter-slots), those
---that were not used for longest give way, and are loaded again by the next call through them.
---@param name string  -- a file's path, or its name in the model directories
---@param options? minnow.AdapterOptions
---@return minnow.Model
function Model:adapter(name, options) end

---Iterates over an answer while it is written: `for piece in model:stream(prompt) do`. Each piece
---waits. Leaving the loop cancels the rest.
---@param prompt string|minnow.Message[]  -- a text to continue, or a conversation
---@param options? minnow.GenerateOptions
---@return fun(): string?
function Model:stream(prompt, options) end

---Files in the folders that were granted (`--allow read=DIR`), and in no others.
minnow.files = {}

---The bytes of a file. Waits. Raises precondition for what was not granted, not_found for what is
---not there.
---@param path string
---@return string
function minnow.files.read(path) end

---The names in a folder, sorted; those of folders end with a /. Waits, and raises as
---minnow.files.read does.
---@param path string
---@return string[]
function minnow.files.list(path) end

---Requests to the hosts that were granted (`--allow net=HOST`), and to no others. Redirects are
---not followed.
minnow.http = {}

---Waits. Any status of the answer is a result; what gives no answer is raised.
---@param url string
---@param options? minnow.HttpOptions
---@return minnow.HttpResponse
function minnow.http.get(url, options) end

---As minnow.http.get, with a body.
---@param url string
---@param body string
---@param options? minnow.HttpOptions
---@return minnow.HttpResponse
function minnow.http.post(url, body, options) end

---JSON, with the order and the types of values kept.
minnow.json = {}

---JSON's text of a value. A table whose keys are 1 to n is a list, one whose keys are strings an
---object, written in the order of minnow.ordered, else by name; an empty table is an object
---unless minnow.array made it. Bytes that are no UTF-8 become U+FFFD. Raises invalid, with the
---path, for what JSON cannot hold.
---@param value any
---@return string
function minnow.json.encode(value) end

---The value of a JSON text; null is minnow.null. Raises invalid for a text that is none, or
---nested deeper than 64 levels.
---@param text string
---@return any
function minnow.json.decode(text) end

---Lines for people on stderr, each with the document's id; the arguments are shown as print shows
---them. debug is shown with --verbose, info too.
minnow.log = {}

---@param ... any
function minnow.log.debug(...) end

---@param ... any
function minnow.log.info(...) end

---@param ... any
function minnow.log.warn(...) end

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
minnow.schema = {}

---A string.
---@param options? minnow.StringOptions
---@return minnow.Schema
function minnow.schema.string(options) end

---A number.
---@param options? minnow.NumberOptions
---@return minnow.Schema
function minnow.schema.number(options) end

---A number without a fraction.
---@param options? minnow.NumberOptions
---@return minnow.Schema
function minnow.schema.integer(options) end

---true or false.
---@param options? minnow.TypeOptions
---@return minnow.Schema
function minnow.schema.boolean(options) end

---null, which Lua has as minnow.null.
---@param options? minnow.TypeOptions
---@return minnow.Schema
function minnow.schema.null(options) end

---One of these values.
---@param values any[]
---@return minnow.Schema
function minnow.schema.enum(values) end

---This value.
---@param value any
---@return minnow.Schema
function minnow.schema.const(value) end

---An object with these fields, in this order, and no others. A field is { name, type }; one that may
---be left out is { name, type, optional = true } or has a type from minnow.schema.optional.
---@param fields [string, minnow.Schema][]
---@return minnow.Schema
function minnow.schema.object(fields) end

---The type of a field that may be left out of its object.
---@param type minnow.Schema
---@return table
function minnow.schema.optional(type) end

---A list of such items.
---@param item minnow.Schema
---@param options? minnow.ArrayOptions
---@return minnow.Schema
function minnow.schema.array(item, options) end

---A list of as many items as there are types, each of its own.
---@param types minnow.Schema[]
---@return minnow.Schema
function minnow.schema.tuple(types) end

---What any of these types allows.
---@param types minnow.Schema[]
---@return minnow.Schema
function minnow.schema.any_of(types) end

---A type by the name that minnow.schema.define gives it, inside of that type too: so it contains
---itself.
---@param name string
---@return minnow.Schema
function minnow.schema.ref(name) end

---The type, which minnow.schema.ref finds by this name wherever it is a part of.
---@param name string  -- letters, digits, and _.-
---@param type minnow.Schema
---@return minnow.Schema
function minnow.schema.define(name, type) end

---The text of the schema as JSON Schema (draft 2020-12), in its order.
---@param type minnow.Schema
---@return string
function minnow.schema.to_json_schema(type) end

---A schema of the text of a JSON Schema, whose order is kept.
---@param text string
---@return minnow.Schema
function minnow.schema.from_json_schema(text) end

---Assertions, named as in busted; they show both values when they fail. `is`, `are`, `has`, `was`
---and the like may stand before a name and say nothing, `not` turns it round: `assert.are.equal`,
---`assert.is_not_nil`. `assert(value)` is Lua's own.
---@class minnow.Assert
local Assert = {}

---Equal as == has it.
---@param expected any
---@param actual any
function Assert.equal(expected, actual) end

---Equal, tables by what is in them, at any depth. Metatables are not looked at.
---@param expected any
---@param actual any
function Assert.same(expected, actual) end

---@param value any
function Assert.is_true(value) end

---@param value any
function Assert.is_false(value) end

---@param value any
function Assert.is_nil(value) end

---Neither nil nor false.
---@param value any
function Assert.truthy(value) end

---@param value any
function Assert.falsy(value) end

---A number that differs by no more than the tolerance.
---@param expected number
---@param actual number
---@param tolerance number
function Assert.near(expected, actual, tolerance) end

---A text in which the Lua pattern is found.
---@param pattern string
---@param text string
function Assert.matches(pattern, text) end

---The function raises an error: any, one with this message, or one with these fields.
---@param fn fun()
---@param expected? string|table
---@return any  -- the error
function Assert.has_error(fn, expected) end

---The function raises an error whose text has the Lua pattern.
---@param fn fun()
---@param pattern string
---@return any  -- the error
function Assert.error_matches(fn, pattern) end

---@param value any
function Assert.is_boolean(value) end

---@param value any
function Assert.is_number(value) end

---@param value any
function Assert.is_string(value) end

---@param value any
function Assert.is_table(value) end

---@param value any
function Assert.is_function(value) end

---A pipeline under test.
---@class minnow.TestedPipeline
local TestedPipeline = {}

---What the pipeline's run returns for the document, after it was JSON. Waits. What run raises is
---raised here.
---@param document string|minnow.TestDocument  -- a string is its text
---@return any
function TestedPipeline:run(document) end

---What is there in files that `minnow test` runs.
minnow.test = {}

---Loads a pipeline file.
---@param path string  -- relative to the test file
---@return minnow.TestedPipeline
function minnow.test.pipeline(path) end

---Only in a file that `minnow test` runs.
---@type minnow.Assert
assert = nil

---Names what stands in it; may stand in another.
---@param name string
---@param fn fun()
function describe(name, fn) end

---The same as describe.
---@param name string
---@param fn fun()
function context(name, fn) end

---A test. It has a state of its own, in which the file's top level has run again, and a
---document's budget.
---@param name string
---@param fn fun()
function it(name, fn) end

---A test that is still to be written.
---@param name string
---@param fn? fun()
function pending(name, fn) end

---Runs before each test of the describe, those of outer ones first.
---@param fn fun()
function before_each(fn) end

---Runs after each test of the describe, also after one that failed, those of inner ones first.
---@param fn fun()
function after_each(fn) end

return minnow
