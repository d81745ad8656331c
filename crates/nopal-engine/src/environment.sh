# Writes the environment of a builder, with everything that the standard environment sets up, as JSON.
set -e
if [[ -e ${NIX_ATTRS_SH_FILE-} ]]; then source "$NIX_ATTRS_SH_FILE"; fi
export IN_NIX_SHELL=impure dontAddDisableDepTrack=1
if [[ -n ${stdenv-} ]]; then source "$stdenv/setup"; fi

# What is of this process only.
declare -A _nopal_own=()
for _nopal_name in _ BASH BASHPID DIRSTACK EPOCHREALTIME EPOCHSECONDS EUID FUNCNAME GROUPS HISTCMD HOSTNAME LINENO \
    PIPESTATUS PWD RANDOM SECONDS SHLVL SRANDOM; do
    _nopal_own[$_nopal_name]=1
done
_nopal_text=

# Adds a string.
_nopal_add() {
    local text=${1//\\/\\\\} code letter
    text=${text//\"/\\\"}
    text=${text//$'\n'/\\n}
    text=${text//$'\r'/\\r}
    text=${text//$'\t'/\\t}
    if [[ $text == *[$'\001'-$'\037']* ]]; then
        for code in {1..31}; do
            printf -v letter '\\x%02x' "$code"
            printf -v letter '%b' "$letter"
            printf -v code '\\u%04x' "$code"
            text=${text//"$letter"/"$code"}
        done
    fi
    _nopal_text+=\"$text\"
}

# Adds a variable, unless it is another name of one.
_nopal_variable() {
    local _nopal_flags _nopal_item _nopal_comma=
    _nopal_flags=$(declare -p "$1" 2> /dev/null) || return 0
    _nopal_flags=${_nopal_flags#declare }
    _nopal_flags=${_nopal_flags%% *}
    [[ $_nopal_flags == *n* ]] && return 0
    local -n _nopal_value=$1
    _nopal_text+=$_nopal_between$'\n    '
    _nopal_between=,
    _nopal_add "$1"
    case $_nopal_flags in
    *A*)
        _nopal_text+=': {"type": "associative", "value": {'
        for _nopal_item in "${!_nopal_value[@]}"; do
            _nopal_text+=$_nopal_comma
            _nopal_add "$_nopal_item"
            _nopal_text+=': '
            _nopal_add "${_nopal_value[$_nopal_item]}"
            _nopal_comma=', '
        done
        _nopal_text+='}}'
        ;;
    *a*)
        _nopal_text+=': {"type": "array", "value": ['
        for _nopal_item in "${_nopal_value[@]}"; do
            _nopal_text+=$_nopal_comma
            _nopal_add "$_nopal_item"
            _nopal_comma=', '
        done
        _nopal_text+=']}'
        ;;
    -x | --)
        if [[ $_nopal_flags == -x ]]; then _nopal_item=exported; else _nopal_item=var; fi
        _nopal_text+=": {\"type\": \"$_nopal_item\", \"value\": "
        _nopal_add "$_nopal_value"
        _nopal_text+='}'
        ;;
    # integers, and what may not be changed
    *) _nopal_text+=': {"type": "unknown"}' ;;
    esac
}

_nopal_dump() {
    local _nopal_name _nopal_body _nopal_between= _nopal_names
    _nopal_text+=$'{\n  "bashFunctions": {'
    while read -r _ _ _nopal_name; do
        [[ $_nopal_name == _nopal_* ]] && continue
        _nopal_body=$(declare -f "$_nopal_name")
        _nopal_body=${_nopal_body#*\{}
        _nopal_text+=$_nopal_between$'\n    '
        _nopal_between=,
        _nopal_add "$_nopal_name"
        _nopal_text+=': '
        _nopal_add "${_nopal_body%\}*}"
    done <<< "$(declare -F)"
    _nopal_text+=$'\n  },\n  "variables": {'
    _nopal_between=
    for _nopal_name in {A..Z} {a..z} _; do
        eval "_nopal_names=(\"\${!$_nopal_name@}\")"
        for _nopal_name in "${_nopal_names[@]}"; do
            case $_nopal_name in
            _nopal_* | BASH_* | COMP_*) continue ;;
            esac
            [[ -n ${_nopal_own[$_nopal_name]-} ]] || _nopal_variable "$_nopal_name"
        done
    done
    _nopal_text+=$'\n  }'
    if [[ -e ${NIX_ATTRS_SH_FILE-} ]]; then
        _nopal_text+=$',\n  "structuredAttrs": {\n    ".attrs.json": '
        _nopal_add "$(< "$NIX_ATTRS_JSON_FILE")"
        _nopal_text+=$',\n    ".attrs.sh": '
        _nopal_add "$(< "$NIX_ATTRS_SH_FILE")"
        _nopal_text+=$'\n  }'
    fi
    _nopal_text+=$'\n}\n'
}

if [[ -e ${NIX_ATTRS_SH_FILE-} ]]; then
    _nopal_outputs=("${outputs[@]}")
else
    _nopal_outputs=()
    for _nopal_name in $outputs; do _nopal_outputs+=("${!_nopal_name}"); done
fi
set +e
_nopal_dump
set -e
# the first output gets the text; the others are only there
for _nopal_name in "${_nopal_outputs[@]}"; do
    printf '%s' "$_nopal_text" > "$_nopal_name"
    _nopal_text=
done
