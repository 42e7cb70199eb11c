"""The examples of the OpenAPI document, sent as they stand there."""
import re
import unittest

import harness

try:
    from jsonschema import Draft202012Validator
except ImportError:
    Draft202012Validator = None

API = "/api/v1"

# One after the other, as somebody would who sets a hub up by the document alone.
STEPS = [
    ("POST", "/folders", "FolderNew", 201), ("POST", "/users", "UserNew", 201), ("PATCH", "/users/ana@example.com", "UserPatch", 200),
    ("POST", "/groups", "GroupNew", 201), ("PATCH", "/groups/Sellers", "GroupPatch", 200),
    ("PUT", "/folders/shared%2Fsales/members", "FolderMembersPut", 200), ("PATCH", "/folders/shared%2Fsales", "FolderPatch", 200),
    ("POST", "/service-accounts", "ServiceAccountNew", 201), ("PATCH", "/service-accounts/reports", "ServiceAccountPatch", 200),
    ("POST", "/connections", "ConnectionNew", 201), ("PATCH", "/connections/crm", "ConnectionPatch", 200),
    ("PUT", "/connections/crm/credentials", "CredentialsPut", 200), ("POST", "/connections/crm/duplicate", "ConnectionDuplicate", 200),
    ("POST", "/connections/crm/shares", "ShareNew", 201), ("POST", "/tokens", "TokenNew", 201),
    ("POST", "/policies:preview", "PolicyPreviewNew", 200), ("POST", "/policies", "PolicyNew", 201),
    ("POST", "/policies:explain", "Question", 200), ("POST", "/connections/crm/move", "MoveNew", 200),
    ("POST", "/certificates", "CertificateNew", 201), ("POST", "/audit:hash", "AuditValue", 200),
    ("POST", "/users/ana@example.com/departure", "DepartureNew", 200),
]


class Examples(harness.Case):
    def setUp(self):
        super().setUp()
        self.here = self.hub()
        made = harness.run("user", "create", "--data", self.here.data, "--email", "owner@example.com", "--role", "owner",
                           stdin=harness.PASSWORD)
        self.assertEqual(made.code, 0, made)
        self.owner = self.here.token("setting-up", "owner")
        self.document = self.here.get(API + "/openapi.json", token=self.owner).json

    def schema(self, name):
        return self.document["components"]["schemas"][name]

    def bodies(self):
        """The schemas that requests are made of, by name."""
        found = set()
        for item in self.document["paths"].values():
            for operation in item.values():
                content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
                found |= set(re.findall(r"schemas/(\w+)", content.get("schema", {}).get("$ref", "")))
        return sorted(found)

    def test_a_query_parameter_that_a_door_does_not_know_is_refused_and_nothing_is_done(self):
        """?dry_run=true at a door that has no such parameter must not do the thing."""
        ask = lambda method, path, body=None: self.here.request(method, API + path, body, token=self.owner)
        for method, path, name, status in STEPS:
            body = self.schema(name)["examples"][0]
            refused = ask(method, path + "?zz_unknown=true", body)
            self.assertEqual((refused.status, refused.json["code"]), (400, "unknown_field"), (method, path, refused))
            if (method, path) != ("POST", "/users/ana@example.com/departure"):
                self.assertEqual(ask(method, path, body).status, status, (method, path))
        for path in ("/users/ana@example.com", "/groups/Sellers", "/connections/crm", "/service-accounts/reports", "/folders/shared%2Fsales"):
            for method in ("GET", "DELETE"):
                refused = ask(method, path + "?zz_unknown=true")
                self.assertEqual((refused.status, refused.json["code"]), (400, "unknown_field"), (method, path, refused))
            self.assertEqual(ask("GET", path).status, 200, path)
        for path in self.document["paths"]:
            if path.startswith(API) and "{" not in path and "get" in self.document["paths"][path]:
                said = self.here.get(path + "?zz_unknown=true", token=self.owner)
                self.assertNotIn(said.status, range(200, 300), path)

    @unittest.skipIf(Draft202012Validator is None, "python3-jsonschema is not here")
    def test_every_body_has_an_example_that_fits_its_schema(self):
        self.assertGreater(len(self.bodies()), 25)
        for name in self.bodies():
            examples = self.schema(name).get("examples", [])
            self.assertTrue(examples, f"{name} has no example")
            rooted = {"$ref": f"#/components/schemas/{name}", "components": self.document["components"]}
            for e in examples:
                self.assertEqual([x.message for x in Draft202012Validator(rooted).iter_errors(e)], [], name)

    def test_the_examples_work_one_after_the_other(self):
        for method, path, name, status in STEPS:
            for body in self.schema(name)["examples"]:
                answer = self.here.request(method, API + path, body, token=self.owner)
                self.assertEqual(answer.status, status, f"{method} {path} {body}: {answer!r}")

    def test_each_operation_says_which_errors_it_answers(self):
        for path, item in self.document["paths"].items():
            for method, operation in item.items():
                said = operation["responses"]
                self.assertIn("default", said, f"{method} {path}")
                if "{id}" in path and path.startswith(API):
                    self.assertIn("404", said, f"{method} {path}")
                for answer in said.values():
                    name = answer.get("$ref", "responses/Problem").rsplit("/", 1)[1]
                    self.assertIn(name, self.document["components"]["responses"])


if __name__ == "__main__":
    unittest.main()
