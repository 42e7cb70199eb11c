"""Folders on the real binary: who reaches what through the tree, members, groups, presets, shares, moves and a departure."""

import unittest

import harness
from access_test import NEW, problem
from roles_test import CALL, Case


class Tree(Case):
    def names(self, token, path="/api/v1/folders"):
        return [f["path"] for f in self.ask(token, "GET", path).json["items"]]

    def keys(self, token):
        return sorted(c["key"] for c in self.ask(token, "GET", "/api/v1/connections").json["items"])

    def rights(self, who, path):
        """As in the console: a token of theirs would be narrowed by its role."""
        return who.ask("GET", "/api/v1/folders/" + path.replace("/", "%2F")).json.get("rights")

    def change(self, path, body, preview=False, token=None):
        return self.ask(token or self.hub1.admin, "PATCH",
                        f"/api/v1/folders/{path.replace('/', '%2F')}" + ("?preview=true" if preview else ""), body)

    def test_rights_come_down_the_tree_and_stop_where_a_folder_does_not_inherit(self):
        self.start()
        ann, bob = self.person("ann@example.com", "user"), self.person("bob@example.com", "viewer")
        for path in ("shared/sales", "shared/sales/east", "shared/sales/east/secret"):
            self.new_folder(path)
        self.connection("deep", "shared/sales/east/secret")
        self.members("shared/sales", ("bob@example.com", "editor"))
        self.assertIn("edit", self.rights(bob, "shared/sales/east/secret"))
        self.assertEqual(self.keys(ann.token), ["deep"])
        seen = self.change("shared/sales/east", {"inherits": False}, preview=True).json
        self.assertEqual({g["principal"]["name"] for g in seen["loses"]} & {"ann@example.com", "bob@example.com"},
                         {"ann@example.com", "bob@example.com"})
        self.assertEqual(seen["gains"], [])
        self.assertEqual(self.keys(ann.token), ["deep"])
        self.assertEqual(self.change("shared/sales/east", {"inherits": False}).status, 200)
        for token in (ann.token, bob.token):
            self.assertEqual(self.keys(token), [])
            self.assertEqual(self.names(token), ["shared", "shared/sales"])
            self.assertEqual(self.ask(token, "GET", "/proxy/deep/x").status, 404)
        self.members("shared/sales/east", ("ann@example.com", "viewer"))
        self.assertEqual(self.rights(ann, "shared/sales/east/secret"), ["view"])
        self.assertEqual(self.ask(self.hub1.admin, "GET", "/proxy/deep/x").status, 200)

    def test_a_move_takes_all_that_is_below_along(self):
        self.start()
        for path in ("shared/a", "shared/a/b", "shared/a/b/c", "shared/z"):
            self.new_folder(path)
        self.connection("deep", "shared/a/b/c")
        moved = self.change("shared/a/b", {"parent": "shared/z", "name": "bee"})
        self.assertEqual((moved.status, moved.json["path"]), (200, "shared/z/bee"))
        self.assertEqual(self.ask(None, "GET", "/api/v1/connections/deep").json["folder"]["path"], "shared/z/bee/c")
        self.assertEqual(self.names(None), ["shared", "shared/a", "shared/z", "shared/z/bee", "shared/z/bee/c"])
        self.assertEqual(self.change("shared/z", {"parent": "shared/z/bee/c"}).status, 400)
        self.assertEqual(self.change("shared/z", {"parent": "shared/z"}).status, 400)
        self.assertEqual(self.change("shared/a", {"name": "z"}).status, 409)
        for body in ({"name": "x"}, {"inherits": False}, {"preset": "inherited"}):
            self.assertEqual(self.change("shared", body).status, 400)
        self.change("shared/z", {"inherits": False})
        ann = self.person("ann@example.com", "user")
        self.assertEqual(self.names(ann.token), ["shared", "shared/a"])
        self.change("shared/z/bee", {"parent": "shared/a"})
        self.assertEqual(self.names(ann.token), ["shared", "shared/a", "shared/a/bee", "shared/a/bee/c"])
        self.assertEqual(self.keys(ann.token), ["deep"])

    def test_there_are_eight_folders_below_each_other_and_no_more(self):
        self.start()
        path = "shared"
        for _ in range(7):
            path += "/x"
            self.new_folder(path)
        self.assertEqual(self.hub1.post("/api/v1/folders", {"path": path + "/x"}).status, 409)
        self.new_folder("shared/y")
        self.assertEqual(self.change("shared/x/x", {"parent": "shared/y"}).status, 200)
        self.assertEqual(self.change("shared/x", {"parent": "shared/y/x/x/x/x/x/x"}).status, 409)

    def test_presets_say_who_edits(self):
        self.start()
        user, editor = self.person("u@example.com", "user"), self.person("e@example.com", "editor")
        self.new_folder("shared/lab", preset="open_folder")
        self.new_folder("shared/vault", preset="administrators_only")
        for who, path, status in ((user, "shared/lab", 201), (user, "shared", 403), (user, "shared/vault", 403),
                                  (editor, "shared", 201), (editor, "shared/vault", 403)):
            said = self.ask(who.token, "POST", "/api/v1/connections", dict(NEW, key="k-" + path.split("/")[-1] + who.id[-4:], folder=path))
            self.assertEqual(said.status, status, said)
            if status == 403:
                self.assertIn(f"edit in {path}", said.json["detail"])

    def test_a_folder_admin_gives_what_they_have_and_nothing_more(self):
        self.start()
        ann = self.person("ann@example.com", "user")
        self.new_folder("shared/team")
        self.members("shared/team", ("ann@example.com", "admin"))
        door = "/api/v1/folders/shared%2Fteam/members"
        bob = self.person("bob@example.com", "viewer")
        both = {"members": [{"principal": "ann@example.com", "role": "admin"}, {"principal": "bob@example.com", "role": "editor"}]}
        self.assertEqual(ann.ask("PUT", door, both).status, 200)
        self.assertIn("edit", self.rights(bob, "shared/team"))
        self.assertEqual(ann.ask("PATCH", "/api/v1/folders/shared", {"preset": "open_folder"}).status, 403)
        self.assertEqual(bob.ask("PUT", door, both).status, 403)
        self.assertEqual(self.ask(ann.token, "POST", "/api/v1/users", {"email": "x@example.com"}).status, 403)
        # The rights of a membership are rights for a token of one's own, too.
        made = self.ask(bob.token, "POST", "/api/v1/tokens", {"name": "t", "role": "editor"})
        self.assertEqual(made.status, 403, "a viewer's token makes no editor's")
        own = bob.ask("POST", "/api/v1/tokens", {"name": "t", "role": "editor"})
        self.assertEqual(own.status, 201, own)
        there, here = (self.ask(own.json["secret"], "GET", "/api/v1/folders/" + f).json["rights"] for f in ("shared%2Fteam", "shared"))
        self.assertIn("edit", there)
        self.assertNotIn("edit", here)
        problem(bob.ask("POST", "/api/v1/tokens", {"name": "t", "role": "admin"}), "denied")

    def test_a_folder_admins_token_administers_that_folder_and_nothing_else(self):
        self.start()
        ann = self.person("ann@example.com", "user")
        self.new_folder("shared/team")
        self.members("shared/team", ("ann@example.com", "admin"))
        self.connection("crm", "shared/team")
        self.connection("erp", "shared")
        made = ann.ask("POST", "/api/v1/tokens", {"name": "t", "role": "admin"})
        self.assertEqual(made.status, 201, made)
        token, own = made.json["secret"], {"with": "first@example.com"}
        self.assertEqual(self.ask(token, "GET", "/api/v1/session").json["roles"], ["user", "admin"])
        self.assertEqual(self.ask(token, "POST", "/api/v1/connections/crm/shares", own).status, 201)
        problem(self.ask(token, "POST", "/api/v1/connections/erp/shares", own), "denied")
        for door in ("/api/v1/users", "/api/v1/policies", "/api/v1/audit", "/api/v1/keys"):
            problem(self.ask(token, "GET", door), "denied")
        problem(ann.ask("POST", "/api/v1/tokens", {"name": "t", "role": "owner"}), "denied")
        kept = self.ask(token, "PATCH", f"/api/v1/tokens/{made.json['id']}", {"expires_in": "1d"})
        self.assertEqual(kept.status, 200, kept)
        self.members("shared/team")
        problem(self.ask(token, "POST", "/api/v1/connections/crm/shares", own), "denied")
        problem(ann.ask("POST", "/api/v1/tokens", {"name": "t", "role": "admin"}), "denied")

    def test_a_service_account_edits_in_the_folder_where_it_is_an_editor(self):
        self.start()
        self.new_folder("shared/team")
        made = self.hub1.post("/api/v1/service-accounts", {"name": "deployer", "role": "viewer"})
        self.assertEqual(made.status, 201, made)
        order = {"name": "t", "role": "editor", "service_account": "deployer"}
        problem(self.hub1.post("/api/v1/tokens", order), "denied")
        self.members("shared/team", ("deployer", "editor"))
        token = self.hub1.post("/api/v1/tokens", order)
        self.assertEqual(token.status, 201, token)
        self.connection("crm", "shared/team", token.json["secret"])
        said = self.ask(token.json["secret"], "POST", "/api/v1/connections", dict(NEW, key="erp", folder="shared"))
        self.assertIn("edit in shared", problem(said, "denied")["detail"])

    def test_groups_carry_rights_until_one_leaves_them(self):
        self.start()
        ann = self.person("ann@example.com", "user")
        self.new_folder("shared/team", inherits=False)
        self.connection("crm", "shared/team")
        group = self.hub1.post("/api/v1/groups", {"name": "Team", "members": ["ann@example.com"]}).json
        self.members("shared/team", ("Team", "user"))
        self.assertEqual(self.ask(ann.token, "GET", "/proxy/crm/x").status, 200)
        self.assertEqual(self.hub1.request("PATCH", "/api/v1/groups/Team", {"members": []}).status, 200)
        self.assertEqual(self.ask(ann.token, "GET", "/proxy/crm/x").status, 404)
        self.assertEqual(self.hub1.request("DELETE", "/api/v1/groups/" + group["id"]).status, 204)
        self.assertEqual(self.hub1.get("/api/v1/folders/shared%2Fteam/members").json["members"], [])

    def test_a_folder_with_something_in_it_stays(self):
        self.start()
        self.new_folder("shared/team")
        self.connection("crm", "shared/team")
        said = self.hub1.request("DELETE", "/api/v1/folders/shared%2Fteam")
        self.assertEqual(said.status, 409)
        self.assertIn("connections 1", said.json["detail"])
        self.assertEqual(self.hub1.request("DELETE", "/api/v1/folders/shared").status, 409)


class Reach(Case):
    """One connection: shared, moved, and left behind."""

    def test_a_share_lets_use_and_nothing_else(self):
        self.start()
        bob = self.person("bob@example.com", "user")
        self.new_folder("shared/team", inherits=False)
        con = self.connection("crm", "shared/team")
        door = "/api/v1/connections/crm"
        self.assertEqual(self.hub1.post(door + "/shares", {"with": "bob@example.com"}).status, 201)
        shown = self.ask(bob.token, "GET", door).json
        self.assertEqual(shown["folder"], {"id": con["folder"]["id"], "path": None})
        self.assertEqual([c["key"] for c in self.ask(bob.token, "GET", "/api/v1/connections").json["items"]], ["crm"])
        self.assertEqual(self.ask(bob.token, "POST", door + "/call", CALL).status, 200)
        self.assertEqual(self.ask(bob.token, "GET", "/proxy/crm/x").status, 200)
        for method, path, body in (("PATCH", "", {"notes": "n"}), ("PUT", "/credentials", {"token": "x"}), ("DELETE", "", None),
                                   ("POST", "/shares", {"with": "bob@example.com"}), ("POST", "/move", {"folder": "shared"})):
            problem(self.ask(bob.token, method, door + path, body), "denied")
        self.assertEqual(self.ask(bob.token, "GET", "/api/v1/folders/" + con["folder"]["id"]).status, 404)

    def test_a_share_with_a_folder_is_for_those_who_are_in_it(self):
        self.start()
        ann, bob = self.person("ann@example.com", "user"), self.person("bob@example.com", "user")
        self.new_folder("shared/here", inherits=False)
        self.new_folder("shared/there", inherits=False)
        self.connection("crm", "shared/here")
        self.members("shared/there", ("ann@example.com", "user"))
        self.assertEqual(self.hub1.post("/api/v1/connections/crm/shares", {"with": "shared/there"}).status, 201)
        self.assertEqual(self.ask(ann.token, "GET", "/proxy/crm/x").status, 200)
        self.assertEqual(self.ask(bob.token, "GET", "/proxy/crm/x").status, 404)

    def test_a_share_with_a_group_is_for_those_who_are_in_it_now(self):
        self.start()
        ann, bob = self.person("ann@example.com", "user"), self.person("bob@example.com", "user")
        self.new_folder("shared/here", inherits=False)
        self.connection("crm", "shared/here")
        made = self.hub1.post("/api/v1/groups", {"name": "Sellers", "members": ["ann@example.com"]})
        self.assertEqual(made.status, 201, made)
        shared = self.hub1.post("/api/v1/connections/crm/shares", {"with": "Sellers", "expires_in": "1d"})
        self.assertEqual(shared.status, 201, shared)
        call = lambda who: self.ask(who.token, "GET", "/proxy/crm/x").status
        self.assertEqual((call(ann), call(bob)), (200, 404))
        changed = self.hub1.request("PATCH", "/api/v1/groups/" + made.json["id"], {"members": ["bob@example.com"]})
        self.assertEqual(changed.status, 200, changed)
        self.assertEqual((call(ann), call(bob)), (404, 200))
        problem(self.ask(bob.token, "PUT", "/api/v1/connections/crm/credentials", {"token": "x"}), "denied")
        self.assertEqual(self.hub1.request("DELETE", "/api/v1/connections/crm/shares/" + made.json["id"]).status, 204)
        self.assertEqual(call(bob), 404)

    def test_a_move_says_who_gains_and_loses_and_what_is_in_its_way(self):
        self.start()
        ann, bob = self.person("ann@example.com", "user"), self.person("bob@example.com", "user")
        self.new_folder("shared/a", inherits=False)
        self.new_folder("shared/b", inherits=False)
        self.members("shared/a", ("ann@example.com", "user"))
        self.members("shared/b", ("bob@example.com", "user"))
        con = self.connection("crm", "shared/a")
        limited = self.ask(ann.token, "POST", "/api/v1/tokens", {"name": "only", "connections": ["crm"]}).json
        door = "/api/v1/connections/crm/move"
        seen = self.hub1.post(door, {"folder": "shared/b", "preview": True}).json
        side = lambda name: {g["principal"]["name"] for g in seen["access"][name]}
        self.assertEqual((side("gains"), side("loses")), ({"bob@example.com"}, {"ann@example.com"}))
        self.assertEqual([b["id"] for b in seen["blocking"]], [limited["id"]])
        said = self.hub1.post(door, {"folder": "shared/b"})
        self.assertEqual(said.status, 409)
        self.assertIn(limited["id"], said.json["detail"])
        self.assertEqual(self.hub1.post("/api/v1/connections/crm/shares", {"with": "ann@example.com"}).status, 201)
        seen = self.hub1.post(door, {"folder": "shared/b", "preview": True}).json
        self.assertEqual((side("gains"), side("loses"), seen["blocking"]), ({"bob@example.com"}, set(), []))
        moved = self.hub1.post(door, {"folder": "shared/b"})
        self.assertEqual((moved.status, moved.json["id"], moved.json["folder"]["path"]), (200, con["id"], "shared/b"))
        self.assertEqual(self.ask(bob.token, "GET", "/proxy/crm/x").status, 200)
        self.assertEqual(self.ask(limited["secret"], "GET", "/proxy/crm/x").status, 200)
        self.connection("crm", "shared/a")
        taken = self.hub1.post(f"/api/v1/connections/{con['id']}/move", {"folder": "shared/a"})
        problem(taken, "conflict")
        self.assertEqual(self.ask(bob.token, "POST", f"/api/v1/connections/{con['id']}/move", {"folder": "shared/b"}).status, 403)

    def test_somebody_leaves_and_nothing_of_theirs_is_lost(self):
        self.start()
        ann, bob = self.person("ann@example.com", "editor"), self.person("bob@example.com", "user")
        mine = self.connection("mine", "personal", ann.token)
        self.connection("team", "shared", ann.token)
        door = f"/api/v1/users/{ann.id}/departure"
        plan = self.owner.ask("POST", door, {"to": "bob@example.com", "preview": True}).json
        self.assertEqual((plan["workspace"]["path"], plan["owned_connections"], plan["tokens_revoked"]), ("shared/ann", 2, 1))
        self.assertEqual(self.ask(ann.token, "GET", "/proxy/mine/x").status, 200)
        self.assertEqual(self.owner.ask("POST", door, {"to": "bob@example.com"}).json, plan)
        self.assertEqual(self.ask(ann.token, "GET", "/api/v1/session").status, 401)
        self.assertEqual(ann.ask("GET", "/api/v1/session").status, 401)
        got = self.ask(bob.token, "GET", "/api/v1/connections/mine").json
        self.assertEqual((got["id"], got["folder"]["path"], got["owner"]["name"]), (mine["id"], "shared/ann", "bob@example.com"))
        self.assertEqual(self.ask(bob.token, "GET", "/proxy/mine/x").status, 200)
        eve = self.person("eve@example.com", "editor")
        self.assertEqual(self.ask(eve.token, "GET", f"/api/v1/connections/{mine['id']}").status, 404)
        self.assertEqual(self.hub1.get("/api/v1/connections/team").json["owner"]["name"], "bob@example.com")
        own = self.owner.ask("POST", f"/api/v1/users/{self.owner.id}/departure", {"to": "bob@example.com"})
        self.assertEqual(own.status, 409)
        self.assertEqual(self.hub1.post(f"/api/v1/users/{self.owner.id}/departure", {"to": "bob@example.com"}).status, 403)


class Verbs(Case):
    def test_the_command_line_does_what_the_page_of_tasks_says(self):
        self.start()
        self.person("ann@example.com", "viewer")
        self.connection("crm", "shared")
        cli = lambda *words: self.hub1.cli(*words)
        for words in (("folders", "create", "shared/sales"), ("groups", "create", "Sellers", "--member", "ann@example.com"),
                      ("folders", "add", "shared/sales", "Sellers", "--role", "editor", "--expires", "30d"),
                      ("folders", "update", "shared/sales", "--preset", "open_folder", "--no-inherit"),
                      ("groups", "update", "Sellers", "--name", "Sales"), ("groups", "get", "Sales"),
                      ("connections", "share", "crm", "--with", "ann@example.com", "--expires", "14d")):
            done = cli(*words)
            self.assertEqual(done.code, 0, done)
        self.assertRegex(cli("folders", "members", "shared/sales").out, r"Sales +group +editor")
        self.assertRegex(cli("folders", "list").out, r"shared/sales +shared +open_folder")
        self.assertIn("ann@example.com", cli("connections", "shares", "crm").out)
        self.assertIn("ann@example.com", cli("connections", "move", "crm", "--to", "shared/sales", "--dry-run", "--json").out)
        self.assertEqual(cli("connections", "move", "crm", "--to", "shared/sales").code, 0)
        self.assertEqual(cli("folders", "delete", "shared/sales", "--yes").code, 1)
        self.assertEqual(cli("connections", "unshare", "crm", "--with", "ann@example.com").code, 0)
        self.assertEqual(cli("connections", "unshare", "crm", "--with", "ann@example.com").code, 3)
        self.assertEqual(cli("folders", "remove", "shared/sales", "Sales").code, 0)
        self.assertEqual(cli("folders", "remove", "shared/sales", "Sales").code, 2)
        self.assertEqual(cli("groups", "delete", "Sales", "--yes").code, 0)
        self.person("bob@example.com", "user")
        self.assertEqual(cli("users", "departure", "ann@example.com", "--to", "bob@example.com", "--dry-run").code, 0)
        self.assertEqual(cli("users", "departure", "ann@example.com", "--to", "bob@example.com").code, 2)
        self.assertEqual(cli("users", "departure", "ann@example.com", "--to", "bob@example.com", "--yes").code, 0)

    def test_a_move_by_which_somebody_loses_access_asks_first(self):
        self.start()
        for who in ("ann", "bob"):
            self.person(f"{who}@example.com", "user")
        for folder in ("a", "b"):
            self.new_folder(f"shared/{folder}", inherits=False)
        self.members("shared/a", ("ann@example.com", "user"))
        self.members("shared/b", ("ann@example.com", "user"), ("bob@example.com", "user"))
        self.connection("crm", "shared/b")
        place = lambda: self.hub1.get("/api/v1/connections/crm").json["folder"]["path"]
        move = ("connections", "move", "crm", "--to")
        refused = self.hub1.cli(*move, "shared/a")
        self.assertEqual((refused.code, refused.out, place()), (2, "", "shared/b"))
        self.assertRegex(refused.err, r"user bob@example\.com loses: view, use\n(.|\n)*--yes")
        self.assertNotIn("ann", refused.err)
        for answer, code, then in (("n", 1, "shared/b"), ("y", 0, "shared/a")):
            asked = self.at_terminal(self.hub1.terminal(*move, "shared/a"))
            asked.expect("Go on? [y/N] ")
            self.assertIn("user bob@example.com loses: view, use", asked.shown)
            asked.type(answer)
            self.assertEqual((asked.end(), place()), (code, then))
        self.assertEqual((self.hub1.cli(*move, "shared/b").code, place()), (0, "shared/b"))  # nobody loses
        self.assertEqual((self.hub1.cli(*move, "shared/a", "--yes").code, place()), (0, "shared/a"))

    def test_a_change_of_a_folder_by_which_somebody_loses_rights_asks_first(self):
        self.start()
        self.person("ann@example.com", "user")
        for path in ("shared/a", "shared/b"):
            self.new_folder(path)
        self.new_folder("shared/closed", inherits=False)
        known = lambda: {f["path"] for f in self.hub1.get("/api/v1/folders").json["items"]}
        for change in (("--to", "shared/closed"), ("--no-inherit",)):
            refused = self.hub1.cli("folders", "update", "shared/a", *change)
            self.assertEqual(refused.code, 2, refused)
            self.assertRegex(refused.err, r"user ann@example\.com loses: view, use\n(.|\n)*--yes")
        self.assertIn("shared/a", known())
        for folder, *change in (("shared/a", "--to", "shared/b"), ("shared/b/a", "--name", "c"), ("shared/b/c", "--preset", "open_folder")):
            self.assertEqual(self.hub1.cli("folders", "update", folder, *change).code, 0, change)
        self.assertEqual(self.hub1.cli("folders", "update", "shared/b/c", "--to", "shared/closed", "--yes").code, 0)
        self.assertIn("shared/closed/c", known())


if __name__ == "__main__":
    unittest.main()
