// Another authorization server for tests of renewals: the npm package oauth2-mock-server on loopback, whose hooks make its answers odd.
// Each line of standard input is a JSON object for the next answer of the token endpoint (or of revocation, "at": "revoke"):
//   {"status": 400, "body": ...} in its place; {"set": {...}, "unset": ["token_type"]} changes in it
// The line "issuer: ..." names where it listens; "changed" answers a line, "asked: {form}" tells a request. It ends with its input.
import { OAuth2Server } from 'oauth2-mock-server';

const server = new OAuth2Server();
await server.issuer.keys.generate('RS256');
await server.start(0, '127.0.0.1');
server.issuer.url = `http://localhost:${server.address().port}`;

const next = { token: [], revoke: [] };
const change = (answer, to) => {
  if (!to) return;
  if ('status' in to) answer.statusCode = to.status;
  if ('body' in to) answer.body = to.body;
  for (const name of to.unset ?? []) delete answer.body[name];
  Object.assign(answer.body ?? {}, to.set);
};
server.service.on('beforeResponse', (answer, req) => {
  change(answer, next.token.shift());
  console.log(`asked: ${JSON.stringify({ ...req.body, basic: req.headers.authorization ?? null, gave: answer.body?.refresh_token ?? null })}`);
});
server.service.on('beforeRevoke', (answer, req) => {
  change(answer, next.revoke.shift());
  console.log(`revoked: ${JSON.stringify(req.body ?? {})}`);
});
console.log(`issuer: ${server.issuer.url}`);

process.stdin.setEncoding('utf8');
let rest = '';
process.stdin.on('data', (text) => {
  const lines = (rest + text).split('\n');
  rest = lines.pop();
  for (const line of lines) {
    const to = JSON.parse(line);
    next[to.at ?? 'token'].push(to);
    console.log('changed');
  }
});
process.stdin.on('end', () => process.exit(0));
