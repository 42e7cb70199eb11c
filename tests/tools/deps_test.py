"""tools/deps: what it would install, and when it leaves the system alone. Everything that could change the machine is a fake."""
import glob
import os
import re

import place

# dpkg-query answers for the packages in the file `installed`; apt-get writes down what it was asked.
FAKE_DPKG = """#!/bin/sh
shift 2
for package; do
    if grep -qx "$package" "$FAKES/installed"; then printf '%s=installed ' "$package"
    elif grep -qx "$package" "$FAKES/removed"; then printf '%s=config-files ' "$package"
    fi
done
"""
FAKE_APT = """#!/bin/sh
echo "$DEBIAN_FRONTEND: $*" >>"$FAKES/asked"
case "$*" in
*update*) touch "$FAKES/lists" ;;
*install*) [ -e "$FAKES/lists" ] || { echo "E: Unable to locate package" >&2; exit 100; } ;;
esac
"""


# Where Debian keeps what Meson asks for.
PACKAGE_OF = {"cmocka": "libcmocka-dev", "libcrypto": "libssl-dev", "libfyaml": "libfyaml-dev", "libidn2": "libidn2-dev",
              "libpsl": "libpsl-dev", "libsodium": "libsodium-dev", "libssl": "libssl-dev", "libuv": "libuv1-dev",
              "openssl": "libssl-dev", "sqlite3": "libsqlite3-dev", "libpq": "libpq-dev", "threads": "libc6-dev", "zlib": "zlib1g-dev"}


class Deps(place.InTemporaryTree):
    def setUp(self):
        super().setUp()
        self.write("bin/dpkg-query", FAKE_DPKG, 0o755)
        self.write("bin/apt-get", FAKE_APT, 0o755)
        self.write("bin/id", "#!/bin/sh\necho ${FAKE_UID:-0}\n", 0o755)
        self.write("installed", "")
        self.write("removed", "")

    def deps(self, *arguments, path="/usr/bin:/bin", **more):
        environment = {"PATH": os.path.join(self.root, "bin") + ":" + path, "FAKES": self.root, **more}
        return self.run_tool("/bin/sh", place.tool("deps"), *arguments, env=environment)

    def wanted(self, group):
        return self.deps("--dry-run", group).stdout.split()

    def asked(self):
        path = os.path.join(self.root, "asked")
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as f:
            return f.read().splitlines()

    def test_a_bare_system_is_told_the_compiler_the_builder_and_the_libraries(self):
        wanted = self.wanted("run")
        for package in ("gcc", "libc6-dev", "meson", "ninja-build", "pkgconf", "python3", "libsqlite3-dev", "curl"):
            self.assertIn(package, wanted)
        self.assertNotIn("libcmocka-dev", wanted)
        self.assertEqual(self.asked(), [], "a dry run asks apt-get for nothing")

    def test_each_work_needs_its_own_packages(self):
        self.assertIn("libcmocka-dev", self.wanted("test"))
        self.assertNotIn("wrk", self.wanted("test"))
        self.assertLessEqual({"nginx", "haproxy", "wrk", "openssl", "gcc"}, set(self.wanted("bench")))
        self.assertEqual(self.wanted("lint"), ["clang-format"])

    def test_every_library_that_a_room_is_built_with_is_installed(self):
        asked = set()
        for path in [place.ROOT + "/meson.build", *glob.glob(place.ROOT + "/src/*/meson.build")]:
            with open(path, encoding="utf-8") as f:
                asked |= set(re.findall(r"\bdependency\('([^']+)'", f.read()))
        self.assertIn("threads", asked)
        self.assertLessEqual({PACKAGE_OF[name] for name in asked}, set(self.wanted("test")))

    def test_nothing_missing_means_nothing_said_and_nothing_done(self):
        self.write("installed", "\n".join(self.wanted("test")) + "\n")
        done = self.deps("test", FAKE_UID="1000")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        self.assertEqual(self.asked(), [])

    def test_only_what_is_missing_is_installed_and_lists_are_not_fetched_without_need(self):
        self.write("lists", "")
        self.write("installed", "\n".join(p for p in self.wanted("test") if p not in ("openssl", "meson")) + "\n")
        done = self.deps("test")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(self.asked()), 1, self.asked())
        self.assertRegex(self.asked()[0], r"^noninteractive: .*install .* meson openssl$")
        self.assertIn("openssl              throw-away certificates for the tests", done.stdout)

    def test_a_package_that_was_removed_but_left_its_configuration_counts_as_missing(self):
        self.write("installed", "\n".join(p for p in self.wanted("test") if p != "openssl") + "\n")
        self.write("removed", "openssl\n")
        self.assertEqual(self.wanted("test"), ["openssl"])

    def test_lists_are_fetched_when_the_installation_fails_without(self):
        done = self.deps("run")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([line.split()[-1] == "update" for line in self.asked()], [False, True, False])

    def test_a_failing_installation_says_so_and_fails(self):
        self.write("bin/apt-get", "#!/bin/sh\necho 'E: no network' >&2\nexit 100\n", 0o755)
        done = self.deps("run")
        self.assertEqual(done.returncode, 1)
        self.assertIn("E: no network", done.stderr)

    def test_without_root_and_sudo_it_names_the_command_and_changes_nothing(self):
        # A PATH with what the script needs, and no sudo.
        for name in ("sh", "grep", "printf", "cat", "dirname", "mktemp", "tail", "rm", "env"):
            os.symlink(next(d + "/" + name for d in ("/bin", "/usr/bin") if os.path.exists(d + "/" + name)),
                       os.path.join(self.root, "bin", name))
        done = self.deps("run", path="/nowhere", FAKE_UID="1000")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"apt-get install gcc ")
        self.assertEqual(self.asked(), [])

    def test_with_sudo_but_no_terminal_it_never_waits_for_a_password(self):
        self.write("lists", "")
        self.write("bin/sudo", '#!/bin/sh\necho "sudo $1" >>"$FAKES/asked"\nshift\nexec "$@"\n', 0o755)
        done = self.deps("run", FAKE_UID="1000")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.asked()[0], "sudo -n")

    def test_an_unknown_work_is_wrong_usage(self):
        done = self.deps("everything")
        self.assertEqual(done.returncode, 2)
        self.assertIn("usage:", done.stderr)
