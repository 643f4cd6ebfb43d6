# Sourced: makes a command again where the network may have failed it, four times in two minutes.
again() {
    for pause in 5 20 60; do
        "$@" && return 0
        sleep "$pause"
    done
    "$@"
}
