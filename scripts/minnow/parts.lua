-- Documents that do not fit, in parts that do, each asked about by itself: on_overflow = "chunk" of
-- Model:ask and Model:embed, which are given as they are without it.

local native = ...
local minnow = require "minnow"
local ipairs, pairs, rawget, type = ipairs, pairs, rawget, type
local concat = table.concat
local sqrt = math.sqrt

local parts = {}

local function text_of(document)
  return type(document) == "table" and rawget(document, "text") or document
end

-- Parts fit, so they need no on_overflow.
local function without_overflow(options)
  local own = {}
  for name, value in pairs(options) do own[name] = value end
  own.on_overflow = nil
  return own
end

function parts.ask(ask, model, document, question, options)
  local own = without_overflow(options)
  local chunks = native.chunks(model, text_of(document), question, own.max_tokens or 256)
  if not chunks then return ask(model, document, question, own) end
  local answers = minnow.map(chunks.parts, function(part) return ask(model, part, question, own) end)
  local texts, tokens = {}, {}
  local usage = { prompt_tokens = 0, completion_tokens = 0 }
  for i, answer in ipairs(answers) do
    texts[i] = answer.text
    for _, token in ipairs(answer.tokens) do tokens[#tokens + 1] = token end
    for name, n in pairs(usage) do usage[name] = n + answer.usage[name] end
  end
  return {
    text = concat(texts, "\n"),
    tokens = tokens,
    finish_reason = answers[#answers].finish_reason,
    usage = usage,
    fingerprint = answers[1].fingerprint,
    overflow = chunks.overflow,
    parts = answers,
  }
end

-- The mean of the parts' vectors, each by its length, is made as long as they are: 1.
function parts.embed(embed, model, text, options)
  local own = without_overflow(options)
  local chunks = native.chunks(model, text_of(text), nil, 0)
  if not chunks then return embed(model, text, own).vector end
  local vectors = minnow.map(chunks.parts, function(part) return embed(model, part, own).vector end)
  local mean, squares = {}, 0
  for i = 1, #vectors[1] do
    local sum = 0
    for j, vector in ipairs(vectors) do sum = sum + vector[i] * #chunks.parts[j] end
    mean[i] = sum
    squares = squares + sum * sum
  end
  local length = squares > 0 and sqrt(squares) or 1
  for i, sum in ipairs(mean) do mean[i] = sum / length end
  return mean, chunks.overflow
end

return parts
