[ __curPos (x: __curPos.line) ]
