#!/bin/sh
# embed.sh NAME FILE... - puts SQL migrations into a C source on stdout.
# Each FILE is NNNN-words.sql; the numbers must be 1, 2, 3, ... in the order
# given. The text goes in as numbers, so that no SQL can upset the compiler,
# and the same files always give the same bytes.
set -eu
LC_ALL=C
export LC_ALL

name=$1
shift
echo "/* Made by schemas/embed.sh from SQL migrations; do not edit. */"
echo "#include <config.h>"
echo "#include \"common/db.h\""
echo "extern const struct db_migration ${name}[];"
echo "extern const size_t ${name}_n;"
n=0
for file in "$@"; do
    n=$((n + 1))
    base=${file##*/}
    number=${base%%-*}
    case $number in
    [0-9][0-9][0-9][0-9]) ;;
    *)
        echo "embed.sh: $file: the name must be NNNN-words.sql" >&2
        exit 1
        ;;
    esac
    if [ "$(expr "$number" + 0)" -ne "$n" ]; then
        echo "embed.sh: $file: expected number $n" >&2
        exit 1
    fi
    echo "/* $number */"
    echo "static const unsigned char sql_${n}[] = {"
    od -An -v -tu1 "$file" | sed 's/  *\([0-9][0-9]*\)/\1,/g'
    echo "0};"
done
echo "const struct db_migration ${name}[] = {"
i=0
while [ "$i" -lt "$n" ]; do
    i=$((i + 1))
    echo "    {$i, (const char *)sql_$i},"
done
echo "};"
echo "const size_t ${name}_n = $n;"
