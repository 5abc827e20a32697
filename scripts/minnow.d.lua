---@meta minnow
-- What `require "minnow"` gives, for editors and language servers (LuaCATS). Nothing here is run.
--
-- Every function that waits for a model, or for time, yields the document it is called from; others run
-- meanwhile. It may be called inside pcall, iterators, metamethods and coroutines. It may not be called
-- inside a callback of string.gsub or table.sort, nor at the top level of a module or a pipeline file.
--
-- Failures are raised as tables (minnow.Error). Lua visits the fields of a table in an order that differs
-- from run to run: where the order matters, go through a list.

---@class minnow.Error
---@field code "cancelled"|"invalid"|"deadline"|"not_found"|"exhausted"|"precondition"|"out_of_range"|"unsupported"|"internal"|"unavailable"|"corrupt"|"device_lost"
---@field message string
---@field where string  -- "triage.lua:12: ", or ""

---@class minnow.Document
---@field id string
---@field path string  -- "" if it came from no file
---@field text string
---@field meta table  -- what else the input said about it

---@class minnow.Message
---@field role string  -- "system", "user", "assistant"
---@field content string

---@class minnow.GenerateOptions
---@field max_tokens? integer  -- 256
---@field temperature? number  -- 0: the likeliest token each time
---@field top_k? integer  -- 0: off
---@field top_p? number  -- 1: off
---@field min_p? number  -- 0: off
---@field seed? integer  -- 0; the same seed gives the same answer
---@field stop? string|string[]  -- ends the answer before this text
---@field logprobs? integer  -- how many of the likeliest tokens to tell for each place

---@class minnow.Usage
---@field prompt_tokens integer
---@field completion_tokens integer

---@class minnow.TokenLogprob
---@field token integer
---@field logprob number
---@field top? minnow.TokenLogprob[]  -- the likeliest tokens of this place, the best first

---@class minnow.Answer
---@field text string
---@field finish_reason "stop"|"length"
---@field tokens integer[]
---@field usage minnow.Usage
---@field logprobs? minnow.TokenLogprob[]

---@class minnow.RankedLabel
---@field label string
---@field probability number

---@class minnow.Classification
---@field label string  -- the likeliest
---@field probability number  -- of it, among the labels
---@field probabilities table<string, number>
---@field ranking minnow.RankedLabel[]  -- the likeliest first

---@class minnow.Model
---@field name string
local Model = {}

---Continues a text as it stands, without the chat template.
---@param prompt string
---@param options? minnow.GenerateOptions
---@return minnow.Answer
function Model:generate(prompt, options) end

---Answers a conversation.
---@param messages minnow.Message[]
---@param options? minnow.GenerateOptions
---@return minnow.Answer
function Model:chat(messages, options) end

---Answers a question about a document, which stands before it in one user turn.
---@param document string|minnow.Document
---@param question string
---@param options? minnow.GenerateOptions
---@return minnow.Answer
function Model:ask(document, question, options) end

---Gives the probability of each label as the whole answer to a question about a document.
---@param document string|minnow.Document
---@param question string
---@param labels string[]  -- at least two
---@return minnow.Classification
function Model:classify(document, question, labels) end

---A document that several questions are asked about.
---@param document string|minnow.Document
---@return minnow.Context
function Model:context(document) end

---@class minnow.ScoredContinuation
---@field logprob number  -- of the whole continuation: the sum
---@field tokens integer[]
---@field token_logprobs number[]  -- natural logarithms, each after all that stands before it

---How probable each of a few continuations of a prompt is. All of them take one pass over the prompt.
---@param prompt string|minnow.Message[]  -- a text as it stands, or a conversation
---@param continuations string[]  -- each tokenized by itself
---@return minnow.ScoredContinuation[]
function Model:score(prompt, continuations) end

---The vector of a text, of length 1, from a model that is an encoder.
---@param text string|minnow.Document
---@return number[]
function Model:embed(text) end

---Iterates over an answer while it is written: `for piece in model:stream(prompt) do`. Leaving the loop
---cancels the rest.
---@param prompt string|minnow.Message[]  -- a text to continue, or a conversation
---@param options? minnow.GenerateOptions
---@return fun(): string?
function Model:stream(prompt, options) end

---The tokens of a text, as a prompt would have them.
---@param text string
---@return integer[]
function Model:tokenize(text) end

---How many tokens a text has.
---@param text string
---@return integer
function Model:count(text) end

---@class minnow.AdapterOptions
---@field scale? number  -- 1; how much of the adapter

---The same model through an adapter (LoRA): a file's path, or its name in the model directories. Calls through
---several adapters, and without any, share their batches.
---@param name string
---@param options? minnow.AdapterOptions
---@return minnow.Model
function Model:adapter(name, options) end

---@class minnow.Context
---@field model minnow.Model
---@field document string
local Context = {}

---As Model:ask, about the context's document.
---@param question string
---@param options? minnow.GenerateOptions
---@return minnow.Answer
function Context:ask(question, options) end

---As Model:classify, about the context's document.
---@param question string
---@param labels string[]  -- at least two
---@return minnow.Classification
function Context:classify(question, labels) end

---@class minnow.Pipeline

---@class minnow.PipelineSpec
---@field name string
---@field run fun(document: minnow.Document): any  -- what it returns is the result, as JSON

---@class minnow
local minnow = {}

---Opens a model, or finds it open: a file's path, or its name in the model directories.
---@param name string
---@return minnow.Model
function minnow.model(name) end

---What a pipeline file returns.
---@param spec minnow.PipelineSpec
---@return minnow.Pipeline
function minnow.pipeline(spec) end

---@class minnow.MapOptions
---@field concurrency? integer  -- how many items are under way at once, 64

---Calls fn(item, i) for all items at once and gives the results in the items' order. When a call fails, no
---further one is begun, and the failure is raised when those under way have ended.
---@generic T, R
---@param list T[]
---@param fn fun(item: T, i: integer): R
---@param options? minnow.MapOptions
---@return R[]
function minnow.map(list, fn, options) end

---Calls all functions at once and returns the first result of each.
---@param functions (fun(): any)[]
---@return any ...
function minnow.all(functions) end

---Waits without holding up anyone else.
---@param seconds number
function minnow.sleep(seconds) end

---Calls fn(...) and gives its results, unless it takes longer than so many seconds: then all that it does is
---cancelled, and the failure has the code "deadline".
---@param seconds number
---@param fn fun(...): any
---@param ... any
---@return any ...
function minnow.timeout(seconds, fn, ...) end

---A table whose fields JSON writes in this order; others are written by name.
---@param entries [string, any][]
---@return table
function minnow.ordered(entries) end

---The list itself, which JSON writes as [] even while it is empty.
---@generic T
---@param list T[]
---@return T[]
function minnow.array(list) end

---JSON's null, where Lua's nil would leave nothing.
---@type lightuserdata
minnow.null = nil

---Files in the folders that were granted (--allow read=DIR), and in no others.
minnow.files = {}

---The bytes of a file.
---@param path string
---@return string
function minnow.files.read(path) end

---The names in a folder, sorted; those of folders end with a /.
---@param path string
---@return string[]
function minnow.files.list(path) end

---@class minnow.HttpOptions
---@field headers? string|string[]  -- "Name: value"
---@field timeout? number  -- seconds for all of it, 30

---@class minnow.HttpResponse
---@field status integer
---@field headers table<string, string>  -- names in lower case
---@field body string  -- 16 MiB at most

---Requests to the hosts that were granted (--allow net=HOST), and to no others. Redirects are not followed.
minnow.http = {}

---@param url string
---@param options? minnow.HttpOptions
---@return minnow.HttpResponse
function minnow.http.get(url, options) end

---@param url string
---@param body string
---@param options? minnow.HttpOptions
---@return minnow.HttpResponse
function minnow.http.post(url, body, options) end

minnow.json = {}

---@param value any
---@return string
function minnow.json.encode(value) end

---@param text string
---@return any
function minnow.json.decode(text) end

---Lines on stderr, each with the document's id.
minnow.log = {}

function minnow.log.debug(...) end
function minnow.log.info(...) end
function minnow.log.warn(...) end

return minnow
