"""The ground that tests with PostgreSQL stand on: does it keep what it acknowledges, and does it fail the way that it is told to?"""
import os
import subprocess
import unittest

import postgres


class Ground(unittest.TestCase):
    def setUp(self):
        self.pg = postgres.Postgres()
        self.addCleanup(self.pg.close)
        self.pg.create()

    def told(self, text, server=None):
        return (server or self.pg).sql(text, postgres.ROLE, postgres.ROLE)

    def test_a_database_is_as_the_hub_wants_it(self):
        self.assertEqual(self.told("SELECT encoding, datcollate, datctype FROM pg_database WHERE datname = current_database()"), "6|C|C")
        self.assertEqual(self.told("SHOW fsync; SHOW synchronous_commit"), "on\non")
        self.assertEqual(self.told("SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = current_user"), "f")
        wrong = self.pg.url().replace(self.pg.passwords[postgres.ROLE], "wrong")
        for url in (wrong, wrong.replace("127.0.0.1", "") + f"?host={self.pg.folder}"):
            done = subprocess.run([postgres.programs() + "/psql", "-XAtqc", "SELECT 1", url], capture_output=True, text=True, check=False)
            self.assertNotEqual(done.returncode, 0, url)

    def test_a_killed_server_comes_back_with_what_it_acknowledged(self):
        self.told("CREATE TABLE t (n BIGINT)")
        for n in range(3):
            self.told(f"INSERT INTO t VALUES ({n})")
            self.pg.kill()
            self.assertNotEqual(self.pg.try_sql("SELECT 1").code, 0)
            self.pg.start()
        self.assertEqual(self.told("SELECT COUNT(*) FROM t"), "3")

    def test_a_server_that_is_paused_says_nothing_until_it_goes_on(self):
        self.pg.pause()
        with self.assertRaises(subprocess.TimeoutExpired):
            self.pg.sql("SELECT 1", seconds=0.5)
        self.pg.resume()
        self.assertEqual(self.pg.sql("SELECT 1"), "1")

    def test_a_row_that_was_acknowledged_is_on_the_replica_that_takes_over(self):
        replica = self.pg.standby()
        self.told("CREATE TABLE t (n BIGINT)")
        self.told("INSERT INTO t VALUES (7)")
        self.pg.kill()
        self.assertNotEqual(replica.try_sql("INSERT INTO t VALUES (8)", postgres.ROLE, postgres.ROLE).code, 0)
        replica.promote()
        self.assertEqual(self.told("INSERT INTO t VALUES (8); SELECT n FROM t ORDER BY n", replica), "7\n8")

    def test_nothing_is_acknowledged_while_the_replica_is_away(self):
        replica = self.pg.standby()
        self.told("CREATE TABLE t (n BIGINT)")
        replica.pause()
        with self.assertRaises(subprocess.TimeoutExpired):
            self.pg.sql("INSERT INTO t VALUES (1)", postgres.ROLE, postgres.ROLE, seconds=0.5)
        replica.resume()
        self.told("INSERT INTO t VALUES (2)")

    def test_nothing_of_it_is_left(self):
        pid = self.pg.process.pid
        family = postgres.children(pid)
        self.assertTrue(family)
        self.pg.close()
        self.assertEqual([one for one in [pid] + family if postgres.lives(one)], [])
        self.assertFalse(os.path.exists(self.pg.folder))


if __name__ == "__main__":
    unittest.main()
