// An authorization server for tests of renewals: the npm package oidc-provider on loopback, with rotating refresh tokens whose reuse
// ends the family. Beside it a fault switch and a log of token requests:
//   POST /_faults {"kind": "drop"|"garble"|"status"|"delay"|"hold", "status": 503, "ms": 100, "n": 1, "commit": true}; "drop" with
//                 "first": only the answer to a refresh token that comes for the first time
//   POST /_release what "hold" holds
//   GET  /_log    {"requests": n, "over": n, "revoked": n, "given": n, "denied": n}; "over": were answered, or lost; "denied": a
//                 token was not good for /me
//   POST /_forget empties the log
//   POST /_expire all access tokens are over
// With CALLBACK (a redirect URI) people authorize in a browser; without, the grant "password" stands in for them. GET /me takes an
// access token and answers whose it is. With GRACE, a refresh token that was used serves again for so many seconds, as some servers let it
// for answers that got lost. With DPOP, tokens are bound to a key, and each proof needs a nonce of the server's, at /me too.
// Port 0 becomes a real one, which the line "issuer: ..." names. It ends with its standard input.
import crypto from 'node:crypto';
import http from 'node:http';
import Provider, { errors } from 'oidc-provider';

const LIFE = Number(process.env.ACCESS_TOKEN_LIFE || 3600);
const CLIENT = { client_id: 'raccord', client_secret: 's3cr:et/+ %', token_endpoint_auth_method: 'client_secret_basic', id_token_signed_response_alg: 'ES256',
  redirect_uris: [], response_types: [], grant_types: ['password', 'refresh_token', 'client_credentials',
    'urn:ietf:params:oauth:grant-type:token-exchange', 'urn:ietf:params:oauth:grant-type:jwt-bearer'], scope: 'openid offline_access read write' };
if (process.env.CALLBACK) Object.assign(CLIENT, { redirect_uris: [process.env.CALLBACK], response_types: ['code'], grant_types: [...CLIENT.grant_types, 'authorization_code'] });

if (process.env.DPOP) CLIENT.dpop_bound_access_tokens = true;

const server = http.createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [CLIENT],
    scopes: ['openid', 'offline_access', 'read', 'write'],
    features: { devInteractions: { enabled: !!process.env.CALLBACK }, clientCredentials: { enabled: true },
      dPoP: { enabled: !!process.env.DPOP, nonceSecret: crypto.randomBytes(32), requireNonce: () => true },
      introspection: { enabled: true, allowedPolicy: () => true }, revocation: { enabled: true, allowedPolicy: () => true } },
    rotateRefreshToken: true,
    issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
    pkce: { required: () => true },
    jwks: { keys: [{ ...crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }), use: 'sig', kid: 'e1', alg: 'ES256' }] },
    cookies: { keys: [crypto.randomBytes(16).toString('hex')] },
    ttl: { AccessToken: LIFE, ClientCredentials: LIFE, RefreshToken: 86400, Grant: 86400, Session: 86400, Interaction: 600, IdToken: 300 },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  });
  // A family of refresh tokens without a browser.
  provider.registerGrantType('password', async (ctx) => {
    const { client, params } = ctx.oidc;
    if (params.password !== 'sesame') throw new errors.InvalidGrant('wrong password');
    const grant = new provider.Grant({ accountId: params.username, clientId: client.clientId });
    const scope = 'openid offline_access read';
    grant.addOIDCScope(scope);
    const grantId = await grant.save(), of = { accountId: params.username, client, grantId, scope, gty: 'password' };
    ctx.body = { access_token: await new provider.AccessToken(of).save(), token_type: 'Bearer', expires_in: LIFE, scope,
      refresh_token: await new provider.RefreshToken({ ...of, rotations: 0 }).save() };
  }, ['username', 'password', 'scope']);

  // One token for another (RFC 8693): the subject is an access token of this server's, or a statement signed with the key of SUBJECT_KEY.
  const subjectOf = async (token, type) => {
    if (type.endsWith(':access_token')) return (await provider.ClientCredentials.find(token))?.clientId;
    const [head, body, signature] = token.split('.');
    if (!crypto.verify('sha256', `${head}.${body}`, process.env.SUBJECT_KEY, Buffer.from(signature ?? '', 'base64url'))) return undefined;
    const claims = JSON.parse(Buffer.from(body, 'base64url'));
    return claims.aud === `${issuer}/token` && claims.exp * 1000 > Date.now() ? claims.sub : undefined;
  };
  provider.registerGrantType('urn:ietf:params:oauth:grant-type:token-exchange', async (ctx) => {
    const { client, params } = ctx.oidc;
    if (!await subjectOf(params.subject_token, params.subject_token_type)) throw new errors.InvalidRequest('the subject token is over');
    if ([params.audience].flat().some((a) => !['orders', 'stock'].includes(a))) throw new errors.InvalidTarget();
    log.ears = { audience: params.audience, resource: params.resource };
    ctx.body = { access_token: await new provider.ClientCredentials({ client, scope: params.scope }).save(), token_type: 'Bearer',
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token', expires_in: LIFE, scope: params.scope };
  }, ['subject_token', 'subject_token_type', 'audience', 'resource', 'scope'], ['audience', 'resource']);

  // A statement that the key of SUBJECT_KEY signed is a grant by itself (RFC 7523).
  provider.registerGrantType('urn:ietf:params:oauth:grant-type:jwt-bearer', async (ctx) => {
    const { client, params } = ctx.oidc;
    if (!await subjectOf(params.assertion, 'urn:ietf:params:oauth:token-type:jwt')) throw new errors.InvalidGrant('the assertion is not good');
    ctx.body = { access_token: await new provider.ClientCredentials({ client, scope: params.scope }).save(), token_type: 'Bearer', expires_in: LIFE };
  }, ['assertion', 'scope']);

  const GRACE = Number(process.env.GRACE || 0), find = provider.RefreshToken.find;
  if (GRACE) provider.RefreshToken.find = async function again(...of) {
    const token = await find.apply(this, of);
    if (token?.consumed && Date.now() / 1000 - token.consumed <= GRACE) { token.consumed = undefined; log.again++; }
    return token;
  };
  const holding = [], used = new Set();
  const held = () => new Promise((done) => { holding.push(done); });
  const live = new Set();
  provider.on('access_token.saved', (token) => live.add(token));
  let fault = null, log = { requests: 0, over: 0, given: 0, revoked: 0, denied: 0, again: 0, dropped: 0, last: '' };
  const text = async (req) => { let all = ''; for await (const piece of req) all += piece; return all; };
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  provider.use(async (ctx, next) => {
    if (ctx.path === '/_log') { ctx.body = log; return; }
    if (ctx.path === '/_forget') { log = { requests: 0, over: 0, given: 0, revoked: 0, denied: 0, again: 0, dropped: 0, last: '' }; ctx.body = log; return; }
    if (ctx.path === '/_faults') { fault = JSON.parse(await text(ctx.req) || 'null'); ctx.body = {}; return; }
    if (ctx.path === '/_release') { for (const done of holding.splice(0)) done(); ctx.body = {}; return; }
    if (ctx.path === '/_expire') { for (const token of live) await token.destroy(); live.clear(); ctx.body = {}; return; }
    if (ctx.path !== '/token') { await next(); if (ctx.path === '/me' && ctx.status === 401) log.denied++; return; }
    log.requests++;
    ctx.res.on('close', () => { log.over++; });
    const f = fault && !fault.first && fault.n-- > 0 ? fault : null;
    const hold = f?.kind === 'hold' ? held() : null; // from here on a release lets it go, though it does not wait yet
    if (f && f.kind === 'delay' && !f.commit) await wait(f.ms);
    if (!f?.commit) await hold;
    if (f && f.kind === 'status') { ctx.status = f.status; ctx.body = 'not well'; if (f.after) ctx.set('retry-after', String(f.after)); return; }
    await next();
    if (ctx.status === 200) log.given++;
    log.last = ctx.status === 200 ? '' : ctx.body?.error ?? '';
    if (f && f.kind === 'delay' && f.commit) await wait(f.ms);
    if (f?.commit) await hold;
    const spent = ctx.oidc?.body?.refresh_token, first = !used.has(spent);
    if (spent) used.add(spent);
    if (fault?.kind === 'drop' && fault.first && first && spent && ctx.status === 200) { log.dropped++; ctx.respond = false; ctx.req.socket.destroy(); }
    if (f && f.kind === 'drop') { ctx.respond = false; ctx.req.socket.destroy(); } // given, and lost on its way
    if (f && f.kind === 'garble') { ctx.body = JSON.stringify(ctx.body).slice(0, 40); ctx.type = 'json'; }
  });
  provider.on('grant.revoked', () => { log.revoked++; });
  provider.on('server_error', (_, e) => console.error(e.stack));
  server.on('request', provider.callback());
  console.log(`issuer: ${issuer}`);
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
