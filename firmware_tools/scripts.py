"""The shell scripts that run on a device: constant text, arguments in ``$1`` and on.

They need a POSIX shell, coreutils and flock; Python only from where a runtime is made.
The folder (``$1`` nearly everywhere is the prefix)::

    edge-lstm.yaml                 the configuration; .previous: before an unfinished deployment
    bundles/<sha256, first 16>.elb   current.elb, previous.elb: links to two of them
    runtimes/<version>/              runtime, previous-runtime: links to two of them
    secrets/                         what LoadCredential gives to the service
    run/                             stand-in for systemd: start, pid, log
    state/                           stand-in for systemd: the state folder
    .pending                         which links were there before a deployment that is not finished
"""

from __future__ import annotations

__all__ = [
    "CHECK",
    "DONE",
    "DROP",
    "FACTS",
    "HEALTH",
    "INSTALL",
    "LOCK",
    "PROCESS_LOGS",
    "PROCESS_PID",
    "PROCESS_RESTART",
    "PRUNE",
    "RESTORE",
    "SECRETS",
    "STATE",
    "SUM",
    "SWITCH",
    "SYSTEMD_LOGS",
    "SYSTEMD_PID",
    "SYSTEMD_RESTART",
    "UPLOAD",
]

FACTS = r"""
# prefix, python, unit file
say() { printf '%s=%s\n' "$1" "$2"; }
yes() { if "$@" >/dev/null 2>&1; then echo yes; else echo no; fi; }
near=$1
until [ -d "$near" ]; do near=$(dirname -- "$near"); done
say system "$(uname -s) $(uname -m)"
say hostname "$(uname -n)"
say root "$(yes [ "$(id -u)" -eq 0 ])"
say sudo "$(yes sudo -n true)"
say systemd "$(yes [ -d /run/systemd/system ])"
say unit "$(yes [ -e "$3" ])"
say stand_in "$(yes [ -e "$1/run/start" ])"
say writable "$(yes [ -w "$near" ])"
say free_mib "$(df -Pk -- "$near" | awk 'NR == 2 { print int($4 / 1024) }')"
for program in flock sha256sum base64 setsid; do
  command -v "$program" >/dev/null 2>&1 || say missing "$program"
done
if command -v -- "$2" >/dev/null 2>&1; then
  say python "$("$2" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null || :)"
  say python_home "$("$2" -c 'import sys; print(sys.base_prefix)' 2>/dev/null || :)"
  say venv "$(yes "$2" -c 'import ensurepip, venv')"
fi
"""

STATE = r"""
# prefix, bundle name, bundle sha256, runtime name, service file
say() { printf '%s=%s\n' "$1" "$2"; }
text() { if [ -f "$2" ]; then say "$1" "$(base64 <"$2" | tr -d '\n')"; fi; }
link() { say "$1" "$(readlink -- "$2" || :)"; }
[ -d "$1" ] || exit 0
cd -- "$1"
link current current.elb
link runtime runtime
link previous previous.elb
link previous_runtime previous-runtime
if [ -e .pending ]; then
  say pending "$(sed -n 1p .pending)"
  say pending_runtime "$(sed -n 2p .pending)"
fi
if [ -e "runtimes/$4/.complete" ]; then say runtime_ready yes; fi
if [ -f "bundles/$2" ]; then
  sum=$(sha256sum <"bundles/$2" | cut -d' ' -f1)
  [ "$sum" != "$3" ] || say bundle_ready yes
fi
text config edge-lstm.yaml
text service "$5"
"""

LOCK = r"""
# prefix; held for as long as standard input is open
mkdir -p -- "$1"
exec 9>>"$1/.lock"
flock -n 9 || { echo 'another deployment to this prefix is under way' >&2; exit 1; }
echo held
exec cat >/dev/null
"""

UPLOAD = r"""
# file, sha256, mode; content on standard input
mkdir -p -- "$(dirname -- "$1")"
trap 'rm -f -- "$1.part"' EXIT
cat >"$1.part"
sum=$(sha256sum <"$1.part" | cut -d' ' -f1)
[ "$sum" = "$2" ] || { echo "checksum mismatch after the copy: expected $2, got $sum" >&2; exit 1; }
chmod "$3" "$1.part"
mv -fT -- "$1.part" "$1"
"""

SECRETS = r"""
# prefix, names
cd -- "$1" 2>/dev/null || cd /
shift
for name in "$@"; do
  [ -s "secrets/$name" ] || { printf '%s\n' "$name" >&2; exit 1; }
done
"""

INSTALL = r"""
# prefix, runtime name, python, requirement
mkdir -p -- "$1/secrets" "$1/runtimes"
chmod 700 "$1/secrets"
dir=$1/runtimes/$2
rm -rf -- "$dir"
trap '[ -e "$dir/.complete" ] || rm -rf -- "$dir"' EXIT
"$3" -m venv "$dir"
cd -- "$1"
"$dir/bin/python" -m pip --disable-pip-version-check --no-input --quiet install "$4" >&2
: >"$dir/.complete"
"""

CHECK = r"""
# prefix, runtime name, bundle name, configuration to check
cd -- "$1"
"runtimes/$2/bin/python" -P -m edge_lstm.wait_health --config "$4" --check
exec "runtimes/$2/bin/edge-lstm" selftest "bundles/$3"
"""

DROP = r"""
# prefix, bundle link or nothing, service file; takes away what was laid ready and is not used
cd -- "$1"
rm -f -- edge-lstm.yaml.new "$3.new"
[ -z "$2" ] || rm -f -- "$2"
"""

SUM = r"""
# file
sha256sum <"$1" | cut -d' ' -f1
"""

SWITCH = r"""
# prefix, bundle link, runtime link, service file
cd -- "$1"
point() { ln -sfn -- "$1" "$2.new"; mv -fT -- "$2.new" "$2"; }
keep() { if [ -f "$1" ]; then cp -p -- "$1" "$2"; else rm -f -- "$2"; fi; }
place() { if [ -f "$1.new" ]; then mv -fT -- "$1.new" "$1"; fi; }
bundle=$(readlink -- current.elb || :)
runtime=$(readlink -- runtime || :)
if [ ! -e .pending ]; then
  if [ -n "$bundle" ] && { [ "$bundle" != "$2" ] || [ "$runtime" != "$3" ]; }; then
    point "$bundle" previous.elb
    point "$runtime" previous-runtime
  fi
  keep edge-lstm.yaml edge-lstm.yaml.previous
  keep "$4" service.previous
  printf '%s\n%s\n' "$bundle" "$runtime" >.pending.new
  mv -fT .pending.new .pending
fi
place edge-lstm.yaml
place "$4"
point "$3" runtime
point "$2" current.elb
sync -f . 2>/dev/null || sync
"""

RESTORE = r"""
# prefix, bundle link, runtime link, previous bundle link, previous runtime link, service file
cd -- "$1"
point() { if [ -n "$1" ]; then ln -sfn -- "$1" "$2.new"; mv -fT -- "$2.new" "$2"; else rm -f -- "$2"; fi; }
back() { if [ -f "$1" ]; then mv -fT -- "$1" "$2"; fi; }
back edge-lstm.yaml.previous edge-lstm.yaml
back service.previous "$6"
point "$3" runtime
point "$2" current.elb
point "$4" previous.elb
point "$5" previous-runtime
rm -f .pending
sync -f . 2>/dev/null || sync
"""

DONE = r"""
# prefix
rm -f -- "$1/.pending" "$1/edge-lstm.yaml.previous" "$1/service.previous"
"""

PRUNE = r"""
# prefix; removes bundles and runtimes that no link needs, and wheels that are installed
cd -- "$1"
for link in current.elb previous.elb runtime previous-runtime; do readlink -- "$link" || :; done >.keep
for each in bundles/* runtimes/*; do
  [ -e "$each" ] || continue
  grep -qxF -- "$each" .keep || { rm -rf -- "$each"; printf '%s\n' "$each"; }
done
rm -rf -- .keep wheels
"""

HEALTH = r"""
# prefix, sha256, pid, seconds
cd -- "$1"
exec runtime/bin/python -P -m edge_lstm.wait_health \
  --config "$1/edge-lstm.yaml" --sha256 "$2" --pid "$3" --timeout "$4"
"""

SYSTEMD_PID = r"""
# prefix
systemctl show --property MainPID --value edge-lstm.service
"""

SYSTEMD_RESTART = r"""
# prefix
systemctl daemon-reload
systemctl --quiet enable edge-lstm.service
systemctl reset-failed edge-lstm.service 2>/dev/null || :
systemctl restart edge-lstm.service
systemctl show --property MainPID --value edge-lstm.service
"""

SYSTEMD_LOGS = r"""
# prefix, lines
journalctl --quiet --no-pager --output cat --unit edge-lstm.service --lines "$2"
"""

# A pid is ours when its command line names our configuration: pids are given out anew.
_OURS = r"""
ours() {
  [ -n "$1" ] && [ -r "/proc/$1/cmdline" ] && tr '\0' '\n' <"/proc/$1/cmdline" 2>/dev/null |
    grep -qxF -e "$2/edge-lstm.yaml" -e "$2/run/start"
}
pid=$(cat "$1/run/pid" 2>/dev/null || :)
ours "$pid" "$1" || pid=0
"""

PROCESS_PID = f"{_OURS}\n" + 'echo "$pid"\n'

PROCESS_RESTART = (
    _OURS
    + r"""
if [ "$pid" != 0 ]; then
  kill -TERM "$pid" 2>/dev/null || :
  left=300
  while ours "$pid" "$1"; do
    [ "$left" -gt 0 ] || { kill -KILL "$pid" 2>/dev/null || :; }
    left=$((left - 1))
    sleep 0.1
  done
fi
mkdir -p -- "$1/run" "$1/state"
chmod 700 "$1/state" "$1/run"
[ ! -e "$1/run/log" ] || mv -fT -- "$1/run/log" "$1/run/log.1"
cd -- "$1"
setsid "$1/run/start" </dev/null >"$1/run/log" 2>&1 &
echo "$!" >"$1/run/pid"
cat "$1/run/pid"
"""
)

PROCESS_LOGS = r"""
# prefix, lines
tail -n "$2" -- "$1/run/log"
"""
