# A client of CRI (api.proto of k8s.io/cri-api, runtime.v1) for a shell: gRPC is a POST over HTTP/2 of
# a protobuf message behind five bytes. No message asked for here holds a zero byte or ends in a new
# line, which a shell would lose.
LC_ALL=C
octet() { printf "\\x$(printf %x "$1")"; }
varint() { local n=$1; while ((n > 127)); do octet $((n & 127 | 128)); ((n >>= 7)); done; octet "$n"; }
# text NUMBER VALUE: a field that is a string, or a message; number NUMBER VALUE: one that is an integer
text() { varint $(($1 << 3 | 2)); varint ${#2}; printf %s "$2"; }
number() { varint $(($1 << 3)); varint "$2"; }
words() { local n=$1 word; shift; for word in "$@"; do text "$n" "$word"; done; }

# call METHOD MESSAGE: the answer's message is left in $D/answer
call() {
    local by
    { for by in 32 24 16 8 0; do octet $((${#2} >> by & 255)); done; printf %s "$2"; } >"$D/request"
    curl --silent --http2-prior-knowledge --unix-socket "$SOCKET" -H 'content-type: application/grpc' -H 'te: trailers' \
        --data-binary "@$D/request" --dump-header "$D/headers" --output "$D/framed" "http://cri/runtime.v1.RuntimeService/$1"
    tail -c +6 "$D/framed" >"$D/answer"
    grep -q '^grpc-status: 0' "$D/headers" || { grep '^grpc-message' "$D/headers"; return 1; }
}

# raw NUMBER: what a message on the input has in this field, as bytes or as a decimal
raw() {
    local bytes=($(od -An -v -tu1)) at=0 value tag
    next() { local by=0; value=0; while ((value |= (bytes[at] & 127) << by, by += 7, bytes[at++] & 128)); do :; done; }
    while ((at < ${#bytes[@]})); do
        next; tag=$value; next
        if ((tag == ($1 << 3))); then
            printf %d "$value"
        elif (((tag & 7) == 2)); then
            for ((; value > 0; value--, at++)); do ((tag >> 3 != $1)) || octet "${bytes[at]}"; done
        fi
    done
}

# --- what CRI offers. $pod_linux and $fields are fields of LinuxPodSandboxConfig and ContainerConfig ------

pod_config() {
    text 1 "$(text 1 "$N"; text 2 "$N"; text 3 default)"; text 2 "$N"; text 3 "$D"
    text 8 "$(text 1 "/$N"; printf %s "${pod_linux-}")"
}
# pod: its identifier is in $pod; container NAME WORD…: made and started, its identifier in $container
pod() { call RunPodSandbox "$(text 1 "$(pod_config)"; text 2 "$R")" && pod=$(raw 1 <"$D/answer"); }
container() {
    local config
    config=$(text 1 "$(text 1 "$1")"; text 2 "$(text 1 "$image")"; words 3 "${@:2}"; text 11 "$1.log"; printf %s "${fields-}")
    call CreateContainer "$(text 1 "$pod"; text 2 "$config"; text 3 "$(pod_config)")" || return
    container=$(raw 1 <"$D/answer")
    call StartContainer "$(text 1 "$container")"
}
# inside CONTAINER WORD…: the program's output, its errors and its exit code
inside() {
    call ExecSync "$(text 1 "$1"; words 2 "${@:2}"; number 3 20)" || return
    raw 1 <"$D/answer"; raw 2 <"$D/answer"
    local code
    code=$(raw 3 <"$D/answer")
    return "${code:-0}"
}
# state CONTAINER: nothing as it is made, 1 running, 2 ended; then its exit code, if it is not 0
state() {
    call ContainerStatus "$(text 1 "$1")" || return
    echo "$(raw 1 <"$D/answer" | raw 3) $(raw 1 <"$D/answer" | raw 7)"
}
stop() { call StopContainer "$(text 1 "$1"; number 2 "$2")"; }
remove() { call RemoveContainer "$(text 1 "$1")"; }
remove_pod() { call StopPodSandbox "$(text 1 "$pod")" && call RemovePodSandbox "$(text 1 "$pod")"; }
trap 'remove_pod >/dev/null' EXIT
