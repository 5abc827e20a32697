-- What scripts have (docs/pipelines.md) is less than Lua's own: see host/script/sandbox.cc.
std = "lua54"
not_globals = { "collectgarbage", "debug", "dofile", "io", "loadfile", "package", "warn" }
max_line_length = 120

-- Descriptions that nothing runs.
files["**/*.d.lua"] = { ignore = { "1", "212", "241", "631" } }

-- What `minnow test` puts there.
files["**/*_test.lua"] = {
  read_globals = { "describe", "context", "it", "pending", "before_each", "after_each" },
  globals = { assert = { other_fields = true } },
}

-- Snippets of the documentation stand inside a pipeline's run(doc).
files["**/snippets"] = { read_globals = { "minnow", "slm", "doc" } }
