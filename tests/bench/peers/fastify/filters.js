'use strict'

const http = require('node:http')
const { randomUUID } = require('node:crypto')
const pino = require('pino')
const metrics = require('prom-client')

const log = pino.destination({ dest: 'access.log', sync: false, minLength: 8192 })
const app = require('fastify')({
  loggerInstance: pino(log),
  disableRequestLogging: true,
  genReqId: () => randomUUID()
})

const requests = new metrics.Counter({
  name: 'http_requests_total', help: 'Requests.', labelNames: ['method', 'status']
})
const seconds = new metrics.Histogram({
  name: 'http_request_seconds', help: 'Seconds per request.', labelNames: ['method']
})

app.addHook('onRequest', (request, reply, next) => {
  request.headers['x-request-id'] = request.id
  request.headers['x-edge'] = 'bench'
  delete request.headers['x-debug']
  next()
})
app.addHook('onSend', (request, reply, payload, next) => {
  reply.header('x-request-id', request.id)
  reply.header('x-content-type-options', 'nosniff')
  next()
})
app.addHook('onResponse', (request, reply, next) => {
  requests.inc({ method: request.method, status: reply.statusCode })
  seconds.observe({ method: request.method }, reply.elapsedTime / 1000)
  request.log.info({
    client: request.ip,
    method: request.method,
    path: request.url,
    status: reply.statusCode,
    bytes: Number(reply.getHeader('content-length')),
    milliseconds: reply.elapsedTime
  })
  next()
})

app.register(require('@fastify/cors'), { origin: ['https://app.example.com'], methods: ['GET', 'POST'] })
app.register(require('@fastify/http-proxy'), {
  upstream: 'http://127.0.0.1:18900',
  // OPTIONS is a route of the CORS plugin.
  httpMethods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
  undici: { connections: 512, pipelining: 1, keepAliveTimeout: 60000, bodyTimeout: 0 },
  disableRequestLogging: true,
  replyOptions: {
    rewriteHeaders: (headers) => {
      const { 'x-backend': _, ...rest } = headers
      return rest
    }
  }
})

app.listen({ host: '127.0.0.1', port: 18084, backlog: 4096 })

http.createServer(async (request, response) => {
  response.setHeader('content-type', metrics.register.contentType)
  response.end(await metrics.register.metrics())
}).listen(18184, '127.0.0.1')

process.on('SIGTERM', () => {
  log.flushSync()
  process.exit(0)
})
