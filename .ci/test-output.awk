# Reads "go test -v ./..." and prints, for each package that passed, a line for
# each test and the package's summary; of a package that failed, everything.
# Names and reasons of skipped tests also go to the file named by "skips".
#
# Exits with 1 if nothing was tested; go test's own status is what counts, so
# run the pipe under "set -o pipefail".

# A package's output comes in one piece that ends with its summary.
/^(ok  |FAIL|\?   )\t/ {
	if ($1 == "FAIL") {
		for (i = 0; i < n; i++)
			if (lines[i] !~ /^=== /)
				print lines[i]
	} else {
		for (i = 0; i < n; i++)
			if (lines[i] ~ /^--- (PASS|SKIP)/ || lines[i] ~ /^ +--- SKIP/)
				print lines[i]
	}
	print
	fflush()
	if ($1 == "ok")
		packages++
	n = 0
	next
}
/^ +[A-Za-z0-9_]+\.go:[0-9]+: / {
	reason = $0
	sub(/^ +[A-Za-z0-9_]+\.go:[0-9]+: /, "", reason)
}
/^ *--- SKIP: / {
	name = $3
	if (index(reason, name ": ") == 1)
		reason = substr(reason, length(name) + 3)
	print name ": " reason > skips
	reason = ""
}
{
	lines[n++] = $0
}
END {
	# What is left was not ended by a summary: go test itself failed.
	for (i = 0; i < n; i++)
		if (lines[i] !~ /^=== /)
			print lines[i]
	exit packages == 0
}
