#!/bin/sh
# Written by `portcullis builder init`; change it and review it like code. It runs in a sandbox without network.
set -eu
mkdir -p out /tmp/work
# The toolchain's packages were unpacked, not installed: make the list of what there is, which dpkg's tools ask for
# build dependencies and for the packages of shared libraries.
database=/tmp/dpkg
mkdir -p $database/info $database/updates
echo 1 > $database/info/format
for package in /build/inputs/debs/*.deb; do
    dpkg-deb --field "$package" > /tmp/fields
    dpkg-deb --control "$package" /tmp/control
    name=$(sed -n 's/^Package: //p' /tmp/fields)
    if grep -q '^Multi-Arch: same' /tmp/fields; then
        name=$name:$(sed -n 's/^Architecture: //p' /tmp/fields)
    fi
    { cat /tmp/fields; echo 'Status: install ok installed'; echo; } >> $database/status
    for file in shlibs symbols; do
        if [ -f /tmp/control/$file ]; then cp /tmp/control/$file "$database/info/$name.$file"; fi
    done
    dpkg-deb --fsys-tarfile "$package" | tar -t | sed 's,^\.,,; s,/$,,; s,^$,/.,' > "$database/info/$name.list"
    rm -r /tmp/control
done
{UNPACK}
cd /tmp/work/source
# where a package wants to be built as root, fakeroot only pretends: in this sandbox root is nobody, and chown fails
export FAKEROOTDONTTRYCHOWN=1 DPKG_ADMINDIR=$database
dpkg-buildpackage --admindir=$database --build=binary --no-sign
for name in {BINARIES}; do
    cp ../"${name}"_*.deb /build/src/out/"$name".deb
done
