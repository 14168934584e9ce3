'use strict'
const crypto = require('node:crypto')

// Refusal is an answer other than success.
class Refusal extends Error {
  constructor (status, ...errors) {
    super(errors[0].message)
    Object.assign(this, { status, errors })
  }
}
exports.Refusal = Refusal
exports.notFound = () => new Refusal(404, { message: 'Not found' })
exports.notAuthorized = () => new Refusal(401, { message: 'Not authorized' })
exports.badRequest = (message, field) => new Refusal(400, { message, field })

// answer has the first of routes that fits answer a request. A route is
// [method, path, status, handler], where a path ends in :id or not; a handler
// gets { body, id, user } and returns the answer's body. user throws for
// strangers.
exports.answer = async (routes, req, res) => {
  try {
    const body = JSON.parse(await text(req) || '{}')
    const [path] = req.url.split('?')
    const parent = path.slice(0, path.lastIndexOf('/')) + '/:id'
    const route = routes.find(([method, at]) => method === req.method && (at === path || at === parent))
    if (path === '/ready') return send(res, 200, {}) // for the tests, not in the originals
    if (!route) throw exports.notFound()
    const [, at, status, handle] = route
    const id = at === parent ? path.slice(parent.length - 3) : undefined
    send(res, status, await handle({ body, id, user: () => user(req) }))
  } catch (err) {
    if (!(err instanceof Refusal)) console.error(req.method, req.url, err.name, err.message)
    send(res, err.status ?? 400, { errors: err.errors ?? [{ message: 'Something went wrong' }] })
  }
}

async function text (req) {
  let all = ''
  for await (const chunk of req) all += chunk
  return all
}

function send (res, status, body) {
  res.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8' })
  res.end(status === 204 ? undefined : JSON.stringify(body))
}

// user returns the user of the session, which cookie-session 1.x keeps,
// unsigned, in express:sess.
function user (req) {
  try {
    const [, session] = /(?:^|; *)express:sess=([^;]+)/.exec(req.headers.cookie)
    const [head, payload, signature] = JSON.parse(Buffer.from(session, 'base64')).jwt.split('.')
    const own = crypto.createHmac('sha256', process.env.JWT_KEY).update(`${head}.${payload}`).digest('base64url')
    if (own !== signature) throw new Error('signature')
    return JSON.parse(Buffer.from(payload, 'base64url'))
  } catch {
    throw exports.notAuthorized()
  }
}
