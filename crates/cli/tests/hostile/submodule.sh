# Tries: to bring in source that the commit's digest does not cover, and to have git fetch from a place of its choice.
# Stopped by: a commit with a submodule is refused.
printf '[submodule "library"]\n\tpath = library\n\turl = ext::sh -c touch% /tmp/evil\n' > .gitmodules
git add .
git update-index --add --cacheinfo "160000,1111111111111111111111111111111111111111,library"
