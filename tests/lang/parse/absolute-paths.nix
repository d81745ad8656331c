x: [ /a /a/b /a/../b/./c /a/../../b /. /a${x} /a/${x}/c /${x} /a/b${x}c/d${x} /a${x}//c/${x}d ]
