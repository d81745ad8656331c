# only a string copies the paths that come after it
[
  ({ outPath = "/out"; } + /no/such/path)
  ({ outPath = /no/such; } + "/path")
  ({ __toString = self: "text"; } + /no/such)
]
