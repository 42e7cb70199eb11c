// An OpenID Connect provider for tests/e2e/identity_test.py and flows_test.py: the npm package oidc-provider on loopback, its people, its
// client and further features from the environment. Port 0 becomes a real one, which the line "issuer: ..." names; a line "asked: ..."
// is written for each request to its token and pushed-request endpoints. RESOURCES: the APIs that its tokens may be for (RFC 8707), as JSON.
import crypto from 'node:crypto';
import http from 'node:http';
import Provider, { errors } from 'oidc-provider';

const people = JSON.parse(process.env.PEOPLE);
const client = JSON.parse(process.env.CLIENT);
const features = JSON.parse(process.env.FEATURES ?? '{}');
const resources = JSON.parse(process.env.RESOURCES ?? 'null');
if (resources) features.resourceIndicators = { enabled: true, useGrantedResource: () => false, getResourceServerInfo: (_, resource) => {
  if (!resources.includes(resource)) throw new errors.InvalidTarget();
  return { scope: 'read', audience: resource, accessTokenTTL: 60, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } };
} };
const key = (type, options, use) => ({
  ...crypto.generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), use: 'sig', ...use,
});

const server = http.createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://localhost:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [client],
    jwks: { keys: [key('rsa', { modulusLength: 2048 }, { kid: 'r1', alg: 'RS256' }), key('ec', { namedCurve: 'P-256' }, { kid: 'e1', alg: 'ES256' })] },
    cookies: { keys: [crypto.randomBytes(16).toString('hex')] },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
    scopes: ['openid', 'email', 'profile', 'groups', ...(resources ? ['offline_access'] : [])],
    features: { devInteractions: { enabled: true }, ...features },
    pkce: { required: () => true, methods: ['S256'] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
    ttl: { AuthorizationCode: 60, AccessToken: 60, IdToken: 60, Session: 600, Interaction: 600, Grant: 600, DeviceCode: 600 },
  });
  provider.on('server_error', (_, e) => console.error(e.stack));
  provider.use(async (ctx, next) => {
    const at = Date.now();
    await next();
    if (ctx.method === 'POST' && ['/token', '/request'].includes(ctx.path))
      console.log(`asked: ${JSON.stringify({ path: ctx.path, at, status: ctx.status, error: ctx.body?.error ?? null, resource: ctx.oidc?.params?.resource ?? null })}`);
  });
  server.on('request', provider.callback());
  console.log(`issuer: ${issuer}`);
});

// Its people change while it runs: one JSON object a line.
process.stdin.setEncoding('utf8');
let rest = '';
process.stdin.on('data', (text) => {
  const lines = (rest + text).split('\n');
  rest = lines.pop();
  for (const line of lines) {
    Object.assign(people, JSON.parse(line));
    console.log('changed');
  }
});
process.stdin.on('end', () => process.exit(0));
