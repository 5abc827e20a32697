-- Sorts office documents and reads the fields that matter for their kind.

local minnow = require "minnow"
local slm = minnow.model "minnow-demo"

local FIELDS = {
  receipt = { "company", "date", "total" },
  invoice = { "number", "company", "date", "total" },
  letter = { "sender", "recipient", "date", "subject" },
  contract = { "provider", "client", "date", "term" },
  support = { "sender", "product", "reference" },
}
local KINDS = { "receipt", "invoice", "letter", "contract", "support" }
local PEOPLE = { sender = true, recipient = true, provider = true, client = true }

return minnow.pipeline {
  name = "triage",
  run = function(doc)
    local kind = slm:classify(doc, "What kind of document is this?", KINDS)

    -- All questions at once: they share the document as their prefix.
    local fields = minnow.map(FIELDS[kind.label], function(field)
      local question = (PEOPLE[field] and "Who" or "What") .. " is the " .. field .. "?"
      return { field, slm:ask(doc, question, { max_tokens = 48 }).text }
    end)

    return minnow.ordered {
      { "kind", kind.label },
      { "probability", kind.probability },
      { "fields", minnow.ordered(fields) },
    }
  end,
}
