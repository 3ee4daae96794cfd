'use strict'

const app = require('fastify')({ logger: false })

app.register(require('@fastify/http-proxy'), {
  upstream: 'http://127.0.0.1:18900',
  undici: { connections: 512, pipelining: 1, keepAliveTimeout: 60000, bodyTimeout: 0 }
})

app.listen({ host: '127.0.0.1', port: 18084, backlog: 4096 })
