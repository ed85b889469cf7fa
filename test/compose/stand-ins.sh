#!/usr/bin/env bash
# Makes sure that the base images of the Dockerfile and of docker-compose.yml are there: pulls them, or,
# where no image registry can be reached, makes stand-ins for them on the spot with Debian's debootstrap
# and "docker import". The stand-in for golang has the modules of go.mod inside, so that the build needs
# no network.
#
# usage: stand-ins.sh CACHE_DIR
#
# CACHE_DIR keeps the Debian root file system between runs. PULL_TIMEOUT is for how many seconds one
# pull may take (90). Exit status 77: neither way is open here, the reason is the last line.
set -euo pipefail

label=holdfast.stand-in
suite=bookworm
packages=ca-certificates,curl,nginx-light
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# Where debootstrap is, also when the user's own PATH has no sbin.
PATH=$PATH:/usr/sbin:/sbin

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)

say() { printf 'stand-ins: %s\n' "$*" >&2; }

cannot() {
	say "cannot go on: $*"
	exit 77
}

# Never into a /proc that an interrupted debootstrap has left mounted.
remove() { rm -rf --one-file-system "$@"; }

hash_of() { cat -- "$@" | sha256sum | cut -c1-16; }

# The label's value when the image is a stand-in, "real" for any other image, nothing when there is none.
state_of() {
	local value
	value=$(docker image inspect --format "{{ index .Config.Labels \"$label\" }}" "$1" 2>/dev/null) || return 0
	printf '%s\n' "${value:-real}"
}

# After one failed pull the registry counts as out of reach: stand-ins do for all that is missing then.
registry=unknown
pull() {
	[[ $registry == unreachable ]] && return 1
	say "$1: pulling"
	if timeout "${PULL_TIMEOUT:-90}" docker pull --quiet "$1" >/dev/null 2>&1; then
		return 0
	fi
	registry=unreachable
	say "$1: cannot be pulled"
	return 1
}

# wanted IMAGE RECIPE: does a stand-in have to be made? RECIPE is the hash of what it is made from.
wanted() {
	local state
	state=$(state_of "$1")
	case $state in
	real | "$2")
		say "$1: is there"
		return 1
		;;
	"") ! pull "$1" ;;
	*) say "$1: is a stand-in made from something older" ;;
	esac
}

# import_as IMAGE RECIPE TAR CHANGE...: makes the image; the stand-in that it takes the place of goes.
import_as() {
	local image=$1 old change changes=(--change "LABEL $label=$2")
	for change in "${@:4}"; do changes+=(--change "$change"); done
	old=$(docker image inspect --format '{{ .Id }}' "$image" 2>/dev/null || true)
	docker import "${changes[@]}" "$3" "$image" >/dev/null
	if [[ -n $old ]]; then docker image rm "$old" >/dev/null 2>&1 || true; fi
	say "$image: stand-in made"
}

# The mirror that apt on this machine takes the suite from.
mirror() {
	# shellcheck disable=SC2016 # The names in the format are apt's.
	apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		awk -v suite="$suite" '$1 == suite && $2 == "main" && !seen++ { print $3 }'
}

# One Debian serves both stand-ins that need one. It is kept as a tar, complete or not there at all.
debian_tar() {
	local tar="$cache/$suite-$packages.tar"
	if [[ ! -e $tar ]]; then make_debian "$tar" >&2; fi
	printf '%s\n' "$tar"
}

make_debian() {
	local from http_proxy='' as_root=() work
	if ((EUID != 0)); then
		sudo -n true 2>/dev/null || cannot "debootstrap needs root"
		as_root=(sudo -n)
	fi
	command -v debootstrap >/dev/null || cannot "debootstrap is not installed"
	from=$(mirror)
	[[ -n $from ]] || cannot "apt on this machine has no source for Debian $suite"
	eval "$(apt-config shell http_proxy Acquire::http::Proxy)"

	say "debootstrap of Debian $suite, about half a minute"
	work=$scratch/debian
	mkdir "$work"
	if ! "${as_root[@]}" env PATH="$PATH" ${http_proxy:+http_proxy="$http_proxy"} \
		debootstrap --variant=minbase --include="$packages" "$suite" "$work/root" "$from" >"$work/log" 2>&1; then
		tail -n 20 "$work/log" >&2
		"${as_root[@]}" rm -rf --one-file-system "$work"
		cannot "debootstrap failed"
	fi
	# What no container reads makes half of the size.
	"${as_root[@]}" tar -C "$work/root" --one-file-system \
		--exclude='./var/lib/apt/lists/*' --exclude='./var/cache/*' --exclude='./usr/share/doc/*' \
		--exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' --exclude='./dev/*' \
		-cf - . >"$work/tar"
	rm -f "$cache/$suite"-*.tar
	mv "$work/tar" "$1"
	"${as_root[@]}" rm -rf --one-file-system "$work"
}

# Debian with this machine's Go in /usr/local/go and the modules in /go/pkg/mod.
make_golang() {
	local image=$1 recipe=$2 debian work modules
	debian=$(debian_tar)
	[[ $image == golang:"$(go env GOVERSION | sed 's/^go//')"-* ]] ||
		say "$image: gets this machine's $(go env GOVERSION)"
	work=$scratch/golang
	mkdir "$work" "$work/src"
	cp "$repo/go.mod" "$repo/go.sum" "$work/src"
	# What this machine has of the modules is not fetched again. What is built is checked against go.sum.
	modules=$(go env GOMODCACHE)
	(cd "$work/src" && GOMODCACHE=$work/go/pkg/mod GOFLAGS=-modcacherw GOSUMDB=off \
		GOPROXY="file://$modules/cache/download,$(go env GOPROXY)" go mod download) ||
		cannot "the modules of go.mod cannot be downloaded"
	cp "$debian" "$work/tar"
	tar -C "$(go env GOROOT)" --transform 's,^\.,usr/local/go,rSh' --exclude='./test' --exclude='./api' \
		--exclude='./doc' --exclude='./misc' --exclude='*_test.go' --exclude='testdata' -rf "$work/tar" .
	tar -C "$work" -rf "$work/tar" go
	import_as "$image" "$recipe" "$work/tar" \
		"ENV PATH=/go/bin:/usr/local/go/bin:$path GOPATH=/go GOTOOLCHAIN=local GOPROXY=off GOSUMDB=off" \
		"WORKDIR /go" "CMD [\"bash\"]"
	remove "$work"
}

# Debian with its own nginx, which is older than the real image's.
make_nginx() {
	local debian
	debian=$(debian_tar)
	import_as "$1" "$2" "$debian" "ENV PATH=$path" 'CMD ["nginx", "-g", "daemon off;"]'
}

# No programs at all: users, a place for temporary files, certificates.
make_distroless() {
	local work=$scratch/distroless
	mkdir -p "$work/etc/ssl/certs" "$work/home/nonroot" "$work/tmp"
	chmod 1777 "$work/tmp"
	printf '%s\n' root:x:0:0:root:/root:/sbin/nologin nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin \
		nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin >"$work/etc/passwd"
	printf '%s\n' root:x:0: nobody:x:65534: nonroot:x:65532: >"$work/etc/group"
	cp /etc/ssl/certs/ca-certificates.crt "$work/etc/ssl/certs/" 2>/dev/null ||
		say "$1: no certificates on this machine, goes without"
	tar -C "$work" --owner=0 --group=0 -cf "$work.tar" .
	import_as "$1" "$2" "$work.tar" "ENV PATH=$path SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt" \
		"USER 65532" "WORKDIR /home/nonroot"
}

(($# == 1)) || {
	say "usage: stand-ins.sh CACHE_DIR"
	exit 2
}
docker info >/dev/null 2>&1 || cannot "no Docker engine answers"
command -v go >/dev/null || cannot "no Go on this machine"
mkdir -p "$1"
cache=$(cd "$1" && pwd)
# Two at a time would make the same things twice.
exec 9>"$cache/lock"
flock 9
scratch=$cache/scratch
clean() { remove "$scratch" 2>/dev/null || true; }
clean # what a killed run has left
mkdir -p "$scratch"
trap clean EXIT

# The names stand in one place only: where they are used.
golang=$(awk '$1 == "FROM" && $2 ~ /^golang:/ { print $2; exit }' "$repo/Dockerfile")
distroless=$(awk '$1 == "FROM" && $2 ~ /distroless/ { print $2; exit }' "$repo/Dockerfile")
nginx=$(awk '$1 == "image:" && $2 ~ /^nginx:/ { print $2; exit }' "$repo/docker-compose.yml")

recipe=$(hash_of "${BASH_SOURCE[0]}")
recipe_golang=$recipe-$(cat "$repo/go.mod" "$repo/go.sum" <(go version) | hash_of)

if wanted "$nginx" "$recipe"; then make_nginx "$nginx" "$recipe"; fi
if wanted "$golang" "$recipe_golang"; then make_golang "$golang" "$recipe_golang"; fi
if wanted "$distroless" "$recipe"; then make_distroless "$distroless" "$recipe"; fi
