-- Tests of triage.lua. The model's answers are in triage_test.answers.jsonl, so no model is needed:
--   minnow test examples/triage/triage_test.lua
-- After a change of the questions, ask it again: minnow test --record --model-dir models ...

local minnow = require "minnow"
local triage = minnow.test.pipeline "triage.lua"

local RECEIPT = [[
*** WELCOME ***
Green Bridge Plastics
Shuckheeham Road 295, Milan
Sold on: June 6, 2003 18:38
____________________
Gloves x2......................18.42
Green Eggs 6g x2: 18.54
2 x Onions:0.80
____________________
Net...........................$37.76
Total                         $37.76
Goods sold are not returnable.
]]

local LETTER = [[
Oxford, 12-Jan-2022

I. Jansen
Triafield Close 101, Madrid

Regarding: Invitation to the Boston charity run

Good morning I. Jansen,

Your last letter of Jul 15, 2011 has reached me. I would be grateful for an answer in the coming weeks.

Yours,

Dreassman Opatski
]]

describe("triage", function()
  it("knows a receipt and reads what was paid", function()
    local result = triage:run { text = RECEIPT }
    assert.equal("receipt", result.kind)
    assert.same({ company = "Green Bridge Plastics", date = "June 6, 2003", total = "37.76" }, result.fields)
  end)

  describe("of a letter", function()
    local result
    before_each(function() result = triage:run(LETTER) end)

    it("is sure of the kind", function()
      assert.equal("letter", result.kind)
      assert.near(1, result.probability, 0.05)
    end)

    it("reads who wrote it and about what", function()
      assert.equal("Dreassman Opatski", result.fields.sender)
      assert.matches("charity run$", result.fields.subject)
    end)

    it("asks for no total", function() assert.is_nil(result.fields.total) end)
  end)

  it("has one of its kinds for a document without text", function()
    local result = triage:run { id = "empty" }
    assert.matches("^%l+$", result.kind)
    assert.is_table(result.fields)
  end)
end)
