local v = minnow.json.decode('{"a":[1,2.5,null,"x"],"b":{}}')
return minnow.ordered { { "v", v }, { "n", minnow.null }, { "a", minnow.array {} }, { "s", minnow.json.encode(v) } }
