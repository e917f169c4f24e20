#!/usr/bin/env bash
# Installs GopherPost as a systemd service, or upgrades it, or takes it away. May be run again at any time:
# what is right stays as it is, and configuration that is there is kept.
#
# Values come from the environment (SMTP_...), from a file (--config), from the configuration that is
# installed, or, on a terminal, from your answers; for the rest there are defaults. docs/install.md tells more.
set -euo pipefail
umask 022

usage() {
    cat <<'TEXT'
usage: ./install.sh [options]          as root

  --binary FILE   install this program instead of building one with cargo
  --config FILE   take values from this file of NAME=value lines
  --yes           ask nothing: environment, --config, what is installed, defaults
  --socket        let systemd own the SMTP port, so that a restart refuses no connection
  --no-socket     no longer let it
  --dry-run       say what would be done, do nothing
  --no-start      install, but neither start nor enable
  --back          put program, settings and units back to what they were before the last upgrade
  --uninstall     take program and units away; configuration, queue and user stay
  --purge         with --uninstall: these go as well
  --help          this text
TEXT
}

here=$(cd "$(dirname "$0")" && pwd)
program=/usr/local/bin/gopherpost
former=/usr/local/lib/gopherpost/former
share=/usr/local/share
etc=/etc/gopherpost
env_file=$etc/gopherpost.env
home=/var/lib/gopherpost
unit_directory=/etc/systemd/system
# Of SMTP_PORT and SMTP_TLS_PORT.
socket_units=(gopherpost.socket gopherpost-smtps.socket)
units=("${socket_units[@]}" gopherpost.service)
account=gopherpost
health_seconds=60
# Asked for, in this order, with a default each.
asked=(SMTP_HOSTNAME SMTP_PORT SMTP_LISTEN_ADDRESSES SMTP_ALLOW_NETWORKS SMTP_SENDER_DOMAINS SMTP_RELAY_HOST
    SMTP_RELAY_USER SMTP_RELAY_PASSWORD SMTP_QUEUE_PATH SMTP_HEALTH_ADDR SMTP_RETENTION_DAYS)

binary='' config='' yes='' socket='' dry_run='' start=1 task=install purge=''
while [ $# -gt 0 ]; do
    case $1 in
        --binary | --config)
            [ $# -ge 2 ] || { echo "install.sh: $1 needs a file" >&2; exit 2; }
            if [ "$1" = --binary ]; then binary=$2; else config=$2; fi
            shift
            ;;
        --yes) yes=1 ;;
        --socket) socket=on ;;
        --no-socket) socket=off ;;
        --dry-run) dry_run=1 ;;
        --no-start) start='' ;;
        --back) task=back ;;
        --uninstall) task=uninstall ;;
        --purge) purge=1 ;;
        --help) usage; exit 0 ;;
        *) printf 'install.sh: there is no option %s\n' "$1" >&2; usage >&2; exit 2 ;;
    esac
    shift
done

say() { printf '%s\n' "$*"; }
warn() { printf 'install.sh: %s\n' "$*" >&2; }
stop() { warn "$@"; exit 1; }

# Does it, or says what would be done.
run() {
    if [ -n "$dry_run" ]; then
        printf '  would run:'
        printf ' %q' "$@"
        printf '\n'
    else
        "$@"
    fi
}

# Writes standard input to a file in one step, with mode and owner; says so only if it is something new.
# Status 3: it was the same before.
put() {
    local mode=$1 owner=$2 file=$3 new
    new=$(cat)
    if [ -e "$file" ] && [ "$(cat "$file")" = "$new" ]; then
        if [ -z "$dry_run" ]; then
            chmod "$mode" "$file"
            chown "$owner" "$file"
        fi
        return 3
    elif [ -n "$dry_run" ]; then
        say "  would write $file ($mode $owner)"
    else
        say "  $file"
        (umask 077 && printf '%s\n' "$new" >"$file.new")
        chown "$owner" "$file.new"
        chmod "$mode" "$file.new"
        sync "$file.new"
        mv "$file.new" "$file"
    fi
}

has_systemd() { [ -d /run/systemd/system ] && command -v systemctl >/dev/null; }
is_installed() { [ -e "$unit_directory/$1" ]; }
is_on_terminal() { [ -z "$yes" ] && [ -t 0 ]; }

# --- Files of NAME=value lines ---
# systemd and the relay both read them, and agree on this much: a value without quotes, blanks, # and $; or
# parts in quotes, one right behind the other. Other lines are refused instead of being read two ways.

# Sets REPLY to the value that stands behind "=". Status 1: not everybody would read the same.
unquote() {
    local rest=$1 part bare=''
    REPLY=''
    rest=${rest#"${rest%%[![:space:]]*}"}
    rest=${rest%"${rest##*[![:space:]]}"}
    while [ -n "$rest" ]; do
        part=${rest:1}
        case $rest in
            \'*) [[ -z $bare && $part == *\'* ]] || return 1
                REPLY+=${part%%\'*} rest=${part#*\'} ;;
            \"*) [[ -z $bare && $part == *\"* && ${part%%\"*} != *[\\\$\`]* ]] || return 1
                REPLY+=${part%%\"*} rest=${part#*\"} ;;
            [[:space:]\\\$\`\#]*) return 1 ;;
            *) bare=1 REPLY+=${rest:0:1} rest=$part ;;
        esac
    done
}

# The value as it is written behind "=".
quote() {
    local inner="'\"'\"'"
    case $1 in
        *[!A-Za-z0-9_.,:/@*+-]*) printf "'%s'" "${1//\'/"$inner"}" ;;
        *) printf '%s' "$1" ;;
    esac
}

assignment='^[[:space:]]*([A-Za-z_][A-Za-z0-9_]*)[[:space:]]*=(.*)$'

# Reads a file into an associative array. What is wrong is named by its line, never repeated: it may be a secret.
read_values() {
    local file=$1 line name number=0
    local -n into=$2
    [ -r "$file" ] || stop "$file can't be read"
    while IFS= read -r line || [ -n "$line" ]; do
        number=$((number + 1))
        line=${line%$'\r'}
        if [[ $line =~ ^[[:space:]]*(#.*)?$ ]]; then continue; fi
        [[ $line =~ $assignment ]] || stop "$file, line $number: expected NAME=value, or # before a comment"
        name=${BASH_REMATCH[1]}
        unquote "${BASH_REMATCH[2]}" ||
            stop "$file, line $number: $name: put the value in single quotes, with nothing behind them; otherwise systemd and gopherpost read it differently"
        [ -z "${into[$name]+set}" ] || stop "$file, line $number: $name stands there twice"
        [ "$name" != SMTP_ENV_FILE ] || stop "$file, line $number: SMTP_ENV_FILE can't stand in a file"
        # shellcheck disable=SC2004 # it is a name, in an associative array
        into[$name]=$REPLY
    done <"$file"
}

# --- What the settings are to be ---

declare -A installed=() given=() values=()

# What is proposed where nothing is installed.
default_of() {
    case $1 in
        SMTP_HOSTNAME) hostname -f 2>/dev/null || cat /proc/sys/kernel/hostname ;;
        SMTP_PORT) echo 25 ;;
        SMTP_LISTEN_ADDRESSES) if [ -e /proc/net/if_inet6 ]; then echo 127.0.0.1,::1; else echo 127.0.0.1; fi ;;
        SMTP_ALLOW_NETWORKS) echo 127.0.0.0/8,::1 ;;
        SMTP_QUEUE_PATH) echo "$home/spool" ;;
        SMTP_HEALTH_ADDR) echo 127.0.0.1:8080 ;;
        SMTP_RETENTION_DAYS) echo 7 ;;
    esac
}

# What the relay takes where nothing is set, as docs/configuration.md has it.
relay_default_of() {
    case $1 in
        SMTP_HOSTNAME) cat /proc/sys/kernel/hostname ;;
        SMTP_PORT) echo 2525 ;;
        SMTP_LISTEN_ADDRESSES) echo 0.0.0.0,:: ;;
        SMTP_HEALTH_ADDR) echo :8080 ;;
        SMTP_RETENTION_DAYS) echo 7 ;;
    esac
}

# What is in force with `values`.
in_force() {
    local value=${values[$1]-}
    if [ -n "$value" ]; then say "$value"; else relay_default_of "$1"; fi
}

question_of() {
    case $1 in
        SMTP_HOSTNAME) echo "Name of this relay, as other hosts see it" ;;
        SMTP_PORT) echo "Port to take mail on" ;;
        SMTP_LISTEN_ADDRESSES) echo "Addresses to listen on, separated by commas" ;;
        SMTP_ALLOW_NETWORKS) echo "Networks that may send" ;;
        SMTP_SENDER_DOMAINS) echo "Domains of senders, besides that name (- for none)" ;;
        SMTP_RELAY_HOST) echo "Smarthost, such as smtps://mail.example.org:465 (- for none: straight to the recipients' hosts)" ;;
        SMTP_RELAY_USER) echo "User to log in with there (- for none)" ;;
        SMTP_RELAY_PASSWORD) echo "Password of that user" ;;
        SMTP_QUEUE_PATH) echo "Directory of the queue" ;;
        SMTP_HEALTH_ADDR) echo "Where health and metrics are served" ;;
        SMTP_RETENTION_DAYS) echo "Days to keep a message after its end" ;;
    esac
}

# Fills `values`: the environment wins over --config, that over what is installed; the defaults are for a
# first installation, so that what an operator took out of the file later stays out.
gather() {
    local name
    if [ -e "$env_file" ] && [ -r "$env_file" ]; then read_values "$env_file" installed; fi
    if [ -n "$config" ]; then read_values "$config" given; fi
    for name in "${asked[@]}"; do
        values[$name]=''
        if [ ${#installed[@]} = 0 ] || [ "$name" = SMTP_QUEUE_PATH ]; then values[$name]=$(default_of "$name"); fi
    done
    for name in "${!installed[@]}"; do values[$name]=${installed[$name]}; done
    for name in "${!given[@]}"; do values[$name]=${given[$name]}; done
    for name in $(compgen -A export SMTP_); do
        if [ "$name" != SMTP_ENV_FILE ]; then values[$name]=${!name}; fi
    done
}

ask() {
    local name answer shown
    for name in "${asked[@]}"; do
        shown=${values[$name]-}
        case $name in
            SMTP_RELAY_USER)
                if [ -z "${values[SMTP_RELAY_HOST]}" ]; then
                    values[$name]=''
                    continue
                fi
                ;;
            SMTP_RELAY_PASSWORD)
                if [ -z "${values[SMTP_RELAY_USER]}" ]; then
                    values[$name]=''
                    continue
                fi
                if [ -n "${values[SMTP_RELAY_PASSWORD_FILE]-}" ]; then continue; fi
                read -r -s -p "$(question_of "$name") [$([ -z "$shown" ] || echo 'as it is')]: " answer || stop "no answer"
                echo
                values[$name]=${answer:-$shown}
                continue
                ;;
        esac
        read -r -p "$(question_of "$name") [$(in_force "$name")]: " answer || stop "no answer; --yes asks nothing"
        if [ "$answer" = - ]; then answer='' shown=''; fi
        values[$name]=${answer:-$shown}
    done
}

# What only an installation minds; the rest is for `gopherpost config check`. Prints each problem in one line.
problems_here() {
    local name queue=${values[SMTP_QUEUE_PATH]} before=${installed[SMTP_QUEUE_PATH]-}
    for name in "${!values[@]}"; do
        if [[ ${values[$name]} == *[[:cntrl:]]* ]]; then say "$name: line ends and control characters are not possible"; fi
    done
    case $queue in
        [!/]* | '') say "SMTP_QUEUE_PATH=$queue is relative: a service needs a path that begins with /" ;;
        *[!A-Za-z0-9/_.@+-]*) say "SMTP_QUEUE_PATH=$queue: in a unit, only letters, digits and / _ . @ + - are safe" ;;
        */../* | */.. | */./* | */. | *//*) say "SMTP_QUEUE_PATH=$queue: write it without ., .. and double /" ;;
        /home/* | /root/* | /run/* | /tmp/* | /var/tmp/*)
            say "SMTP_QUEUE_PATH=$queue: the service doesn't see /home, /root, /run and /tmp; choose a place such as $home/spool" ;;
        /*/*) ;;
        *) say "SMTP_QUEUE_PATH=$queue: that belongs to the system; choose a directory of its own, such as $home/spool" ;;
    esac
    case $queue/ in
        "$etc"/* | /usr/* | /bin/* | /sbin/* | /lib*/* | /boot/* | /dev/* | /proc/* | /sys/* | /etc/*)
            say "SMTP_QUEUE_PATH=$queue: that belongs to the system; choose a place such as $home/spool" ;;
    esac
    if [ -n "$before" ] && [ "$before" != "$queue" ] && [ -d "$before/db" ]; then
        say "SMTP_QUEUE_PATH: the mail in $before would be left behind. Move it first: systemctl stop gopherpost && mv $before $queue"
    fi
    if [ -d "$queue" ] && [ -n "$(ls -A "$queue" 2>/dev/null)" ] && [ "$(stat -c %U "$queue")" != "$account" ]; then
        say "SMTP_QUEUE_PATH=$queue is there already, is not empty and belongs to $(stat -c %U "$queue"); if it is our queue: chown -R $account: $queue"
    fi
    problems_of_ports
}

# --- Ports ---

# Address and port of health; status 1: there is none.
health_endpoint() {
    local address
    address=$(in_force SMTP_HEALTH_ADDR)
    if [ "${values[SMTP_HEALTH_DISABLE]-}" = true ]; then return 1; fi
    if [ -n "${values[SMTP_HEALTH_PORT]-}" ]; then address=${address%:*}:${values[SMTP_HEALTH_PORT]}; fi
    case $address in
        :*) address=0.0.0.0$address ;;
        "["*) address=${address#[} address=${address/]:/:} ;;
    esac
    printf '%s %s' "${address%:*}" "${address##*:}"
}

# Where the kernel says that somebody listens, hexadecimal as in /proc/net/tcp.
hexadecimal() {
    local -a parts
    case $1 in
        ::) printf '%032d' 0 ;;
        ::1) echo 00000000000000000000000001000000 ;;
        *:*) echo "$1" ;; # only held against those of all addresses
        *)
            IFS=. read -r -a parts <<<"$1"
            printf '%02X%02X%02X%02X' "${parts[3]:-0}" "${parts[2]:-0}" "${parts[1]:-0}" "${parts[0]:-0}" 2>/dev/null || true
            ;;
    esac
}

# Inodes of the sockets that stand in the way of listening on an address and a port.
rivals() {
    local wanted port local_address state inode address
    wanted=$(hexadecimal "$1")
    port=$(printf ':%04X' "$2")
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r _ local_address _ state _ _ _ _ _ inode _; do
        address=${local_address%:*}
        if [ "$state" != 0A ] || [ "${local_address#"$address"}" != "$port" ]; then continue; fi
        if [ "$address" = "$wanted" ] || [ -z "${address//0/}" ] ||
            { [ -z "${wanted//0/}" ] && [ ${#address} = ${#wanted} ]; }; then
            echo "$inode"
        fi
    done
}

# Says who has it, if it is taken and not by us.
tell_rival() {
    local variable=$1 address=$2 port=$3 inode pid name our_pid=''
    if ! [[ $port =~ ^[0-9]{1,5}$ ]]; then return; fi
    if has_systemd; then our_pid=$(systemctl show -p MainPID --value gopherpost.service 2>/dev/null || true); fi
    for inode in $(rivals "$address" "$port"); do
        pid=$(find /proc/[0-9]*/fd -lname "socket:\[$inode\]" -printf '%h\n' 2>/dev/null | cut -d/ -f3 | sort -n | tail -n 1 || true)
        name=$(cat "/proc/${pid:-0}/comm" 2>/dev/null || echo "somebody")
        if [ -n "$pid" ] && { [ "$pid" = "$our_pid" ] || { [ "$pid" = 1 ] && is_installed gopherpost.socket; }; }; then
            continue
        fi
        case $name in
            master) name="Postfix (systemctl disable --now postfix stops it)" ;;
            exim4 | sendmail) name="$name (systemctl disable --now $name stops it)" ;;
            *) name="$name${pid:+, process $pid}" ;;
        esac
        say "$variable: port $port of $address is taken by $name; stop that, or choose another"
        return
    done
}

problems_of_ports() {
    local address endpoint variable
    local -a addresses
    IFS=, read -r -a addresses <<<"$(in_force SMTP_LISTEN_ADDRESSES)"
    for variable in SMTP_PORT SMTP_TLS_PORT; do
        for address in "${addresses[@]}"; do
            tell_rival "$variable" "${address//[[:space:]]/}" "$(in_force "$variable")"
        done
    done
    if endpoint=$(health_endpoint); then tell_rival SMTP_HEALTH_ADDR "${endpoint% *}" "${endpoint#* }"; fi
}

# Asked of the relay itself, with nothing of our own environment.
is_healthy() {
    env -i SMTP_ENV_FILE="$env_file" RUNTIME_DIRECTORY=/run/gopherpost "$program" health >/dev/null 2>&1
}

# --- The files ---

# The file as it is to be: lines that are there keep their places, what is new comes behind them.
new_env() {
    local line name
    local -A written=()
    if [ -e "$env_file" ] && [ -r "$env_file" ]; then
        while IFS= read -r line || [ -n "$line" ]; do
            if [[ $line =~ $assignment ]] && [ "${values[${BASH_REMATCH[1]}]}" != "${installed[${BASH_REMATCH[1]}]}" ]; then
                name=${BASH_REMATCH[1]}
                say "$name=$(quote "${values[$name]}")"
            else
                say "$line"
            fi
        done <"$env_file"
    else
        say "# Settings of GopherPost. What there is, and what is in force: gopherpost config check"
        say "# A value with blanks, quotes, # or \$ stands in single quotes. After a change: gopherpost reload, which says"
        say "# if something needs a restart."
    fi
    for name in "${asked[@]}" $(printf '%s\n' "${!values[@]}" | sort); do
        if [ -z "${installed[$name]+set}${written[$name]+set}" ] && [ -n "${values[$name]-}" ]; then
            say "$name=$(quote "${values[$name]}")"
            written[$name]=1
        fi
    done
}

# The package's unit, with our program and the queue's directory.
new_unit() {
    local queue=${values[SMTP_QUEUE_PATH]}
    say "# Made by install.sh, again at each upgrade; what you want different: systemctl edit gopherpost"
    sed -e "s#/usr/bin/gopherpost#$program#" \
        -e "s#^After=network-online.target.*#&\nRequiresMountsFor=$queue#" \
        -e '/^Environment=SMTP_QUEUE_PATH=/d' -e '/^ReadWritePaths=/d' \
        -e "s#^ProtectSystem=.*#&\nReadWritePaths=$queue#" \
        -e '/^# The queue, unless/d' "$here/packaging/systemd/gopherpost.service"
}

# Its listeners as the configuration says; systemd has no lists in one line.
new_socket_unit() {
    local file=$1 port=$2 address streams='' only=both
    local -a addresses
    IFS=, read -r -a addresses <<<"$(in_force SMTP_LISTEN_ADDRESSES)"
    for address in "${addresses[@]}"; do
        address=${address//[[:space:]]/}
        case $address in
            *:*) streams+="ListenStream=[$address]:$port"$'\n' ;;
            *) streams+="ListenStream=$address:$port"$'\n' only=ipv6-only ;;
        esac
    done
    say "# Made by install.sh from SMTP_LISTEN_ADDRESSES and the port; after a change of these, run it again."
    # As the relay itself: :: alone means both families.
    sed '1,/^\[Unit\]/ { /^#/d }' "$file" | awk -v streams="$streams" -v only="$only" '
        /^ListenStream=/ { if (!done) printf "%s", streams; done = 1; next }
        /^BindIPv6Only=/ { $0 = "BindIPv6Only=" only }
        { print }'
}

# Runs `config check` of a program on an environment file, with what drop-ins set besides it; as a user, if
# one is given. Nothing of it stands in an argument that others could see. Prints warnings and problems; its
# caller takes these, so that it has a process of its own.
check_settings() {
    local candidate=$1 file=$2 user=$3 told status=0 secrets
    secrets=$(mktemp -d -p "$(if [ -w /run ]; then echo /run; else echo /tmp; fi)" gopherpost-secrets.XXXXXX)
    # shellcheck disable=SC2064 # the name is known now, and this is a process of its own
    trap "rm -rf '$secrets'" EXIT
    told=$(
        cd /
        for name in $(compgen -A export SMTP_); do unset "$name"; done
        if has_systemd && is_installed gopherpost.service; then
            while IFS= read -r line; do
                if [[ $line =~ ^SMTP_[A-Z_]+= ]]; then export "${line?}"; fi
            done < <(systemctl show -p Environment --value gopherpost.service | xargs -n 1 printf '%s\n')
            lend_credentials "$secrets"
            if [ -n "$user" ]; then chown -R "$user:" "$secrets"; fi
        fi
        export SMTP_ENV_FILE=$file RUNTIME_DIRECTORY=/run/gopherpost
        if [ -n "$user" ]; then exec runuser -u "$user" -- "$candidate" config check 2>&1; fi
        exec "$candidate" config check 2>&1
    ) || status=$?
    if [ "$status" -eq 0 ]; then
        grep '^warning: ' <<<"$told" || true
    else
        grep -E '^(warning|problem): ' <<<"$told" || say "$told"
    fi
    return "$status"
}

# What LoadCredential= will give the service from files, which only a running one has: copied into a
# directory of ours, with the variables that name them turned to the copies.
lend_credentials() {
    local directory=$1 name credential source
    while IFS=: read -r credential source; do
        if [ -z "$credential" ] || ! [ -f "$source" ] || ! [ -r "$source" ]; then continue; fi
        (umask 077 && cat "$source" >"$directory/$credential")
        for name in $(compgen -A export SMTP_); do
            if [ "${!name}" = "/run/credentials/gopherpost.service/$credential" ]; then
                export "$name=$directory/$credential"
            fi
        done
    done < <(systemctl cat gopherpost.service | sed -n 's/^[[:space:]]*LoadCredential=//p') # `show` can't print it
}

# --- Install and upgrade ---

# Sets `binary`, an absolute path.
find_program() {
    local owner
    local -a as_owner=() build=(cargo build --release --locked --target-dir "$here/target")
    if [ -n "$binary" ]; then
        if [ ! -f "$binary" ] || [ ! -x "$binary" ]; then stop "$binary is no program"; fi
        binary=$(cd "$(dirname "$binary")" && pwd)/$(basename "$binary")
        "$binary" --version >/dev/null 2>&1 || stop "$binary does not run on this machine: $("$binary" --version 2>&1 | head -n 1 || true)"
        return
    fi
    binary=$here/target/release/gopherpost
    # As whoever owns the clone: root often has no cargo, and should leave no files of its own there.
    owner=$(stat -c %U "$here")
    if [ "$(id -u)" = 0 ] && [ "$owner" != root ] && [ "$owner" != UNKNOWN ]; then
        # With what a login of his sets, such as the path to cargo.
        as_owner=(runuser -u "$owner" -- env -C "$here" HOME="$(getent passwd "$owner" | cut -d: -f6)" bash -l)
    fi
    if [ ${#as_owner[@]} -gt 0 ] && "${as_owner[@]}" -c 'command -v cargo' >/dev/null 2>&1; then
        build=("${as_owner[@]}" -c 'exec "$@"' bash "${build[@]}")
    elif ! command -v cargo >/dev/null; then
        stop "cargo is missing: install Rust 1.95 or later, or give a program with --binary FILE"
    fi
    command -v cc >/dev/null || stop "a C compiler (cc) is missing, which one of the libraries needs; on Debian: apt-get install gcc libc6-dev"
    say "building (a few minutes when it is the first time)"
    (cd "$here" && run "${build[@]}") || stop "it could not be built (see above)"
}

# Asks until nothing is wrong, or stops.
settle() {
    local told draft name
    draft=$(mktemp)
    # shellcheck disable=SC2064 # the name is known now
    trap "rm -f '$draft'" EXIT
    while true; do
        if is_on_terminal; then ask; fi
        told=$(problems_here)
        if [ -z "$told" ] && [ -x "$binary" ]; then
            new_env >"$draft"
            if told=$(check_settings "$binary" "$draft" ''); then
                [ -z "$told" ] || say "$told"
                told=''
            fi
        fi
        if [ -z "$told" ]; then break; fi
        say "$told" >&2
        is_on_terminal || stop "these settings can't work; nothing was changed"
        say "These can't work. Once more:"
    done
    rm -f "$draft"
    name=$(in_force SMTP_HOSTNAME)
    case $name in
        *.*) ;;
        *) warn "SMTP_HOSTNAME=$name has no domain: many hosts refuse such a name. A name that resolves to this machine is better" ;;
    esac
}

make_account() {
    local -a group=(--user-group)
    if getent passwd "$account" >/dev/null; then return; fi
    command -v useradd >/dev/null || stop "useradd is missing: make a system user $account with a group of that name, then run this again"
    if getent group "$account" >/dev/null; then group=(--gid "$account"); fi
    run useradd --system "${group[@]}" --home-dir "$home" --no-create-home --shell /usr/sbin/nologin "$account"
}

make_directories() {
    local queue=${values[SMTP_QUEUE_PATH]} directory owner=$account
    if [ -n "$dry_run" ] && ! getent passwd "$account" >/dev/null; then owner=root; fi
    run install -d -m 0750 -o root -g "$owner" "$etc"
    for directory in "$home" "$queue"; do run install -d -m 0700 -o "$owner" -g "$owner" "$directory"; done
    if [ -z "$dry_run" ] && ! runuser -u "$account" -- test -w "$queue"; then
        stop "the user $account can't write to $queue: he must be allowed through every directory above it"
    fi
}

# What is replaced, for --back.
keep_former() {
    local file
    if [ ! -e "$program" ] || cmp -s "$program" "$binary"; then return; fi
    say "  $former keeps what was there before, for --back"
    rm -rf "$former"
    install -d -m 0700 "$former"
    for file in "$program" "$env_file" "${units[@]/#/$unit_directory/}"; do
        if [ -e "$file" ]; then cp -p "$file" "$former/"; fi
    done
}

place_program() {
    if cmp -s "$binary" "$program"; then
        run rm -f "$program.new"
        return
    fi
    if [ -n "$dry_run" ]; then
        say "  would write $program (0755 root:root)"
    else
        say "  $program"
        mv "$program.new" "$program"
    fi
}

place_manual() {
    local directory
    if [ -n "$dry_run" ]; then
        say "  would write man pages and completions for bash, zsh and fish below $share"
        return
    fi
    directory=$(mktemp -d)
    if "$program" man "$directory" >/dev/null; then
        install -d "$share/man/man1"
        install -m 0644 "$directory"/*.1 "$share/man/man1/"
    fi
    rm -rf "$directory"
    install_completion bash "$share/bash-completion/completions/gopherpost"
    install_completion zsh "$share/zsh/site-functions/_gopherpost"
    install_completion fish "$share/fish/vendor_completions.d/gopherpost.fish"
}

install_completion() {
    install -d "$(dirname "$2")"
    "$program" completions "$1" >"$2" || rm -f "$2"
    chmod 0644 "$2"
}

# Sets `sockets_changed` if a socket must be opened anew.
place_units() {
    local name port
    sockets_changed=''
    new_unit | put 0644 root:root "$unit_directory/gopherpost.service" || [ $? = 3 ]
    for name in "${socket_units[@]}"; do
        if [ "$name" = gopherpost.socket ]; then port=$(in_force SMTP_PORT); else port=$(in_force SMTP_TLS_PORT); fi
        if wants_sockets && [ -n "$port" ]; then
            if new_socket_unit "$here/packaging/systemd/$name" "$port" | put 0644 root:root "$unit_directory/$name"; then
                sockets_changed=1
            fi
        elif is_installed "$name"; then
            remove_unit "$name"
        fi
    done
}

wants_sockets() {
    case $socket in
        on) return 0 ;;
        off) return 1 ;;
        *) is_installed gopherpost.socket ;;
    esac
}

remove_unit() {
    if has_systemd; then run systemctl disable --now "$1"; fi
    run rm -f "$unit_directory/$1"
}

# Starts what is installed, and waits until it is well.
start_it() {
    local name deadline failed=''
    local -a sockets=()
    run systemctl daemon-reload
    if [ -z "$start" ]; then
        say "done; not started. To start it: run this again without --no-start"
        return
    fi
    for name in "${socket_units[@]}"; do
        if is_installed "$name" || { [ -n "$dry_run" ] && [ "$name" = gopherpost.socket ] && wants_sockets; }; then
            sockets+=("$name")
            if ! systemctl is-active -q "$name"; then sockets_changed=1; fi
        fi
    done
    if [ ${#sockets[@]} -gt 0 ]; then
        # A socket is opened only while the service doesn't run; and a client must not start that meanwhile.
        if [ -n "$sockets_changed" ]; then run systemctl stop "${sockets[@]}" gopherpost.service; fi
        run systemctl enable --now "${sockets[@]}" || failed=1
    fi
    run systemctl enable gopherpost.service || failed=1
    say "starting (with a large queue that was not closed cleanly this takes a while)"
    run systemctl restart gopherpost.service || failed=1
    if [ -n "$dry_run" ]; then return; fi
    deadline=$((SECONDS + health_seconds))
    while [ -z "$failed" ] && ! is_healthy; do
        if [ $SECONDS -ge $deadline ] || [ "$(systemctl show -p NRestarts --value gopherpost.service)" -ge 3 ]; then
            failed=1
        fi
        sleep 0.5
    done
    if [ -n "$failed" ]; then tell_failure; fi
}

tell_failure() {
    warn "it did not come up well. Its last lines:"
    journalctl -u gopherpost -n 15 --no-pager -o cat >&2 || true
    if [ -e "$former/gopherpost" ]; then
        warn "the mail in the queue is safe. What was there before comes back with: $here/install.sh --back"
    else
        warn "the settings are in $env_file; all lines: journalctl -u gopherpost"
    fi
    exit 1
}

version_of() { "$1" --version 2>/dev/null | cut -d' ' -f2; }
schema_of_queue() { head -c 20 "${values[SMTP_QUEUE_PATH]}/schema" 2>/dev/null | head -n 1 || true; }

tell_next_steps() {
    cat <<TEXT

GopherPost $(version_of "$program") takes mail on $(in_force SMTP_LISTEN_ADDRESSES), port $(in_force SMTP_PORT). What you need next:
  journalctl -u gopherpost -f        what it does
  gopherpost queue list              what waits, and why
  gopherpost explain ADDRESS         where mail to an address would go now
Settings are in $env_file; after a change: gopherpost reload, which says if something needs a restart
TEXT
    local endpoint
    if endpoint=$(health_endpoint); then
        say "Metrics for Prometheus are at http://${endpoint% *}:${endpoint#* }/metrics; alerts and a dashboard: $here/packaging"
    fi
}

refuse_package() {
    local directory
    for directory in /usr/lib/systemd/system /lib/systemd/system; do
        if [ -e "$directory/gopherpost.service" ]; then
            stop "GopherPost is installed from a package ($directory/gopherpost.service): upgrade it by that, or remove the package first"
        fi
    done
}

install_it() {
    local before schema
    [ -z "$purge" ] || stop "--purge goes with --uninstall only"
    if [ -z "$yes" ] && [ ! -t 0 ]; then stop "nobody can be asked here: give --yes, with values in the environment or --config FILE"; fi
    refuse_package
    gather
    # What is plainly wrong is told before minutes of building.
    if ! is_on_terminal; then
        local told
        told=$(problems_here)
        [ -z "$told" ] || stop "$told"
    fi
    find_program
    settle

    say "installing"
    before=$(version_of "$program" || true)
    schema=$(schema_of_queue)
    make_account
    make_directories
    if [ -z "$dry_run" ]; then
        # Once more as the user himself, who must be able to read what the settings name; still before
        # anything that runs is touched.
        install -m 0755 "$binary" "$program.new"
        rm -f "$env_file.draft"
        (umask 077 && new_env >"$env_file.draft")
        chown "root:$account" "$env_file.draft"
        chmod 0640 "$env_file.draft"
        local told
        if ! told=$(check_settings "$program.new" "$env_file.draft" "$account"); then
            rm -f "$program.new" "$env_file.draft"
            stop "$told"$'\n'"install.sh: these settings can't work for the user $account; what was installed goes on as it was"
        fi
        rm -f "$env_file.draft"
        keep_former
    fi
    new_env | put 0640 "root:$account" "$env_file" || [ $? = 3 ]
    place_program
    place_manual
    if ! has_systemd && [ ! -d "$unit_directory" ]; then
        tell_without_systemd
        return
    fi
    place_units
    if ! has_systemd; then
        tell_without_systemd
        return
    fi
    start_it
    if [ -n "$dry_run" ]; then
        say "this was only shown; nothing was changed"
        return
    fi
    if [ -n "$before" ] && [ -e "$former/gopherpost" ]; then
        say "upgraded from $before to $(version_of "$program"); the way back: $here/install.sh --back"
    fi
    if [ -n "$start" ]; then
        if [ -n "$schema" ] && [ "$schema" != "$(schema_of_queue)" ]; then
            say "the queue was migrated from schema $schema to $(schema_of_queue)"
        fi
        tell_next_steps
    fi
}

tell_without_systemd() {
    say "systemd does not run here (in a container, or another init runs the machine), so nothing is started."
    say "Let whatever starts services here run this, and start it again when it ends; /healthz tells how it is:"
    say "  runuser -u $account -- env SMTP_ENV_FILE=$env_file $program serve"
    if [ "$(in_force SMTP_PORT)" -lt 1024 ]; then
        say "For a port below 1024 it needs a capability: setcap cap_net_bind_service=+ep $program"
    fi
}

# --- Back, and away ---

# Exchanges what is installed and what was before, so that a second time leads forth again.
put_back() {
    local now file name told
    local -a sockets=()
    [ -e "$former/gopherpost" ] || stop "there is nothing to go back to: $former is empty"
    now=$(dirname "$former")/replaced
    gather
    if ! told=$(check_settings "$former/gopherpost" "$former/gopherpost.env" ''); then
        stop "$told"$'\n'"install.sh: what was there before can't work with its settings any more; nothing was changed"
    fi
    say "back to GopherPost $(version_of "$former/gopherpost")"
    run rm -rf "$now"
    run install -d -m 0700 "$now"
    if has_systemd; then
        for name in "${socket_units[@]}"; do
            if is_installed "$name"; then sockets+=("$name"); fi
        done
        run systemctl stop "${sockets[@]}" gopherpost.service
        # One that wasn't there before must not be missed at the next boot.
        if [ ${#sockets[@]} -gt 0 ]; then run systemctl disable "${sockets[@]}"; fi
    fi
    for file in "$program" "$env_file" "${units[@]/#/$unit_directory/}"; do
        if [ -e "$file" ]; then run mv "$file" "$now/"; fi
        if [ -e "$former/$(basename "$file")" ]; then run mv "$former/$(basename "$file")" "$file"; fi
    done
    run rm -rf "$former"
    run mv "$now" "$former"
    installed=() values=()
    if [ -z "$dry_run" ]; then gather; fi
    if has_systemd; then
        sockets_changed=1
        start_it
        say "done; what was replaced is kept: --back once more leads there again"
    fi
}

take_away() {
    local queue name
    gather
    # Not what the environment says: only what is installed is ours.
    queue=${installed[SMTP_QUEUE_PATH]:-$home/spool}
    if [ -n "$purge" ]; then confirm_purge "$queue"; fi
    say "taking GopherPost away"
    for name in "${units[@]}"; do
        if is_installed "$name"; then remove_unit "$name"; fi
    done
    if has_systemd; then
        run systemctl daemon-reload
        if systemctl is-failed -q gopherpost.service; then run systemctl reset-failed gopherpost.service; fi
    fi
    run rm -rf "$program" "$program.new" "$(dirname "$former")"
    run rm -f "$share/bash-completion/completions/gopherpost" "$share/zsh/site-functions/_gopherpost" \
        "$share/fish/vendor_completions.d/gopherpost.fish"
    run find "$share/man/man1" -maxdepth 1 -name 'gopherpost*.1' -delete
    if [ -z "$purge" ]; then
        say "done; kept: $etc, the queue in $queue, and the user $account that owns it. --uninstall --purge removes them;"
        say "another installation takes them up again"
        return
    fi
    run rm -rf "$etc"
    for name in "${units[@]}"; do run rm -rf "$unit_directory/$name.d"; done
    if [ -d "$queue" ]; then
        # The directory itself may be a mount point, which stays.
        run find "$queue" -mindepth 1 -delete
        run rmdir --ignore-fail-on-non-empty "$queue" || true
    fi
    run rm -rf "$home"
    if getent passwd "$account" >/dev/null; then run userdel "$account"; fi
    if [ -z "$dry_run" ] && getent group "$account" >/dev/null; then groupdel "$account"; fi
    if has_systemd; then run systemctl daemon-reload; fi
    say "done; configuration, queue and user are gone"
}

confirm_purge() {
    local answer
    case $1 in
        /*/*) ;;
        *) stop "the queue's path '$1' in $env_file can't be right; nothing was removed" ;;
    esac
    if [ -d "$1" ] && [ -n "$(ls -A "$1")" ] && [ ! -d "$1/db" ]; then
        stop "$1 does not look like a queue; nothing was removed"
    fi
    if [ -n "$yes" ] || [ -n "$dry_run" ]; then return; fi
    [ -t 0 ] || stop "--purge removes all mail in $1: give --yes as well"
    read -r -p "All mail in $1 will be gone, and $etc as well. Type yes to go on: " answer || answer=''
    [ "$answer" = yes ] || stop "nothing was removed"
}

if [ -z "$dry_run" ] && [ "$(id -u)" != 0 ]; then stop "run it as root, or with --dry-run to see what it would do"; fi
case $task in
    install) install_it ;;
    back) put_back ;;
    uninstall) take_away ;;
esac
