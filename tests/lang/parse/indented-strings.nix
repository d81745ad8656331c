# since 2.34
{ x, ... }: [
  ''one line''
  ''
    stripped
      kept two
    stripped

    after an empty line
  ''
  ''
    last line is not blank''
   
  ''   leading spaces of the first line''
  ''
     ${x} first
    ${x}
  ''
  ''
	tabs are not indentation
    so nothing is stripped
  ''
  ''
    escapes: '''quotes''' ''${dollar} ''\n ''\t ''\x $$ $${x} ' $ ''$
  ''
  ''
    ''\ escaped space
      text
  ''
  '' ''
  ''
  ''
  ''${"constant"}''
  ''${http://a.b/c}''
  ''a''\${x}''
  ''''${x}''
  '''''''
  ''
    $'' 
]
