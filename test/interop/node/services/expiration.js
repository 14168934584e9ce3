// The original keeps its jobs in Redis, where they outlive it; here they are
// kept in MongoDB.
'use strict'
const mongoose = require('mongoose')
const { publish, run } = require('./service')

const Job = mongoose.model('Job', new mongoose.Schema({ orderId: String, due: Date }))

const waiting = new Set()

function wait (job) {
  if (waiting.has(job.id)) return
  waiting.add(job.id)
  setTimeout(async () => {
    publish('expiration:complete', { orderId: job.orderId }) // not awaited there either
    await job.deleteOne()
  }, job.due - Date.now())
}

run('expiration-service', {
  'order:created': async ({ id, expiresAt }) => wait(await Job.create({ orderId: id, due: expiresAt }))
}, []).then(async () => { for (const job of await Job.find()) wait(job) })
