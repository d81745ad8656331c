# since 2.34
[
  ""
  "plain"
  "\n\r\t\a\$\"\\"
  "\${not} $${not} $$ $"
  "a$"
  "$$$"
  "trailing \
newline"
  "quote \" and ${"inner \" quote"}"
  "a${"b"}c${1 + 2}"
  "${"only"}"
  "multi
line"
]
