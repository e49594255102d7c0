#!/bin/sh
# Asks a choke point whether an artifact may go into an environment, shows its answer, and ends with
#   0  it may: the decision is on record
#   1  it may not
#   2  nobody could decide: nothing may go on, and another try may help
#
#   decide.sh ENVIRONMENT NAME FILE [BUNDLE...]
#
# NAME is what the policy's `artifact:` calls it. Without bundles, what was attached counts. Settings, from the environment:
#   PORTCULLIS_URL    https://HOST:PORT
#   PORTCULLIS_CA     the authority of that address, PEM; without, those of this machine
#   PORTCULLIS_CERT   this asker's certificate, and
#   PORTCULLIS_KEY    its key; or
#   PORTCULLIS_TOKEN  the file with a token
#   PORTCULLIS_GRANT  the digest of a breakglass grant, in an emergency
set -eu
if [ $# -lt 3 ]; then
    echo "usage: $0 ENVIRONMENT NAME FILE [BUNDLE...]" >&2
    exit 2
fi
: "${PORTCULLIS_URL:?cannot decide: set it to the choke point's address, https://HOST:PORT}"
environment=$1 name=$2 file=$3
shift 3
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
fail() {
    echo "cannot decide: $*" >&2
    exit 2
}
# into JSON as it stands: what would need an escape is no name of anything
plain() {
    case $1 in *[!A-Za-z0-9._/:@%+~*-]* | '') fail "'$1' has characters that this script does not send" ;; esac
}
plain "$environment"
plain "$name"
sum=$(sha256sum <"$file") || fail "$file cannot be read"
digest=${sum%% *}
{
    printf '{"environment":"%s","artifact":{"uri":"%s","digest":{"sha256":"%s"}}' "$environment" "$name" "$digest"
    if [ -n "${PORTCULLIS_GRANT:-}" ]; then
        plain "$PORTCULLIS_GRANT"
        printf ',"grant":"%s"' "$PORTCULLIS_GRANT"
    fi
    between=',"evidence":['
    for bundle in "$@"; do
        printf '%s{"bundle":' "$between"
        cat "$bundle" || fail "$bundle cannot be read"
        printf '}'
        between=,
    done
    if [ $# -gt 0 ]; then printf ']'; fi
    printf '}'
} >"$folder/question"
# the same question, however often it has to be sent, is decided once
key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
set -- --silent --show-error --max-time 60 --retry 3 --retry-connrefused --retry-max-time 60
if [ -n "${PORTCULLIS_CA:-}" ]; then set -- "$@" --cacert "$PORTCULLIS_CA"; fi
if [ -n "${PORTCULLIS_CERT:-}" ]; then set -- "$@" --cert "$PORTCULLIS_CERT" --key "$PORTCULLIS_KEY"; fi
if [ -n "${PORTCULLIS_TOKEN:-}" ]; then
    # in a file, where no list of processes shows it
    (umask 077 && printf 'authorization: Bearer %s\n' "$(cat "$PORTCULLIS_TOKEN")" >"$folder/token")
    set -- "$@" --header "@$folder/token"
fi
status=$(curl "$@" --header 'content-type: application/json' --header 'accept: text/plain' \
    --header "idempotency-key: $key" --data-binary "@$folder/question" --output "$folder/answer" \
    --write-out '%{http_code}' "$PORTCULLIS_URL/v1/decisions?timeout=30s") || fail "there is no answer from $PORTCULLIS_URL"
if [ -f "$folder/answer" ]; then cat "$folder/answer"; fi
case $status in
200)
    # a bundle is sent as it stands: one that turned the question into a dry run has no record, and lets nothing go on
    grep -q '^record: ' "$folder/answer" || fail "the answer names no record"
    exit 0
    ;;
403) exit 1 ;;
*) fail "the answer has the status $status" ;;
esac
