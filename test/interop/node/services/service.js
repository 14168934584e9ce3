// What the four services share, with the rules of the originals: an error in a
// listener is thrown where nobody catches it and leaves the message without
// acknowledgement, an error in a route is a 400, a lost bus ends the process.
'use strict'
const mongoose = require('mongoose')
const stan = require('node-nats-streaming')
const { answer } = require('./http')

const { MONGO_URI, NATS_CLUSTER_ID, NATS_CLIENT_ID, NATS_URL, PORT } = process.env
let bus

// run connects, listens and serves. Each listener gets the event's data, each
// route the request; see answer.
exports.run = async (group, listeners, routes) => {
  bus = stan.connect(NATS_CLUSTER_ID, NATS_CLIENT_ID, { url: NATS_URL })
  await new Promise((resolve, reject) => bus.on('connect', resolve).on('error', reject))
  bus.on('close', () => process.exit())
  process.on('SIGTERM', () => bus.close())
  for (const [subject, apply] of Object.entries(listeners)) listen(group, subject, apply)
  await mongoose.connect(MONGO_URI)
  require('node:http').createServer((req, res) => answer(routes, req, res)).listen(PORT, '127.0.0.1')
}

function listen (group, subject, apply) {
  const options = bus.subscriptionOptions().setDeliverAllAvailable().setManualAckMode(true)
    .setAckWait(5000).setDurableName(group)
  bus.subscribe(subject, group, options).on('message', async (message) => {
    await apply(JSON.parse(message.getData()))
    message.ack()
  })
}

exports.publish = (subject, data) => new Promise((resolve, reject) => {
  bus.publish(subject, JSON.stringify(data), (err) => err ? reject(err) : resolve())
})
