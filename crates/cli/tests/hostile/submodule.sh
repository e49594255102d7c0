# Tries: to bring in source that the commit's digest does not cover, and to have git fetch from a place of its choice.
# Stopped by: a commit with a submodule is refused.
cat > .gitmodules <<'END'
[submodule "library"]
	path = library
	url = ext::sh -c touch% /tmp/evil
END
git add .
git update-index --add --cacheinfo "160000,1111111111111111111111111111111111111111,library"
