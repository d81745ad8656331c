__curPos 1
