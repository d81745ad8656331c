# since 2.34
[ "ab
c
" ''
  a
  b
  '' # comment4 "\" "$" ]
