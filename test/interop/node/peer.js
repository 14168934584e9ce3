// A Node service's side of the database and of the bus, on the libraries that
// such services use. It does what it is told on standard input, one JSON object
// a line, and answers each with one line.
'use strict'
const readline = require('node:readline')
const mongoose = require('mongoose')
const stan = require('node-nats-streaming')
const { statuses, versioned } = require('./models')

// The tickets service keeps these under "tickets"; the orders service keeps its
// replica there, with less.
const Ticket = mongoose.model('Ticket', versioned({
  title: { type: String, required: true },
  price: { type: Number, required: true, min: 0 },
  userId: { type: String },
  orderId: { type: String }
}))
const Order = mongoose.model('Order', versioned({
  userId: { type: String, required: true },
  status: { type: String, required: true, enum: statuses },
  expiresAt: { type: mongoose.Schema.Types.Date },
  ticket: { type: mongoose.Schema.Types.ObjectId, ref: 'Ticket' }
}))

const held = new Map() // tickets that were read and not yet saved
let bus

const actions = {
  async createTicket ({ fields }) {
    const ticket = new Ticket(fields)
    await ticket.save()
    return ticket
  },
  ticket: ({ id }) => Ticket.findById(id),
  freeTickets: () => Ticket.find({ orderId: undefined }),
  async readTicket ({ id }) {
    held.set(id, await Ticket.findById(id))
    return held.get(id)
  },
  async saveTicket ({ id, fields }) {
    const ticket = held.get(id)
    ticket.set(fields)
    await ticket.save()
    return ticket
  },
  async createOrder ({ fields }) {
    const order = new Order(fields)
    await order.save()
    return order
  },
  order: ({ id }) => Order.findById(id).populate('ticket'),

  async connect ({ url, cluster, client }) {
    bus = stan.connect(cluster, client, { url })
    await new Promise((resolve, reject) => { bus.on('connect', resolve); bus.on('error', reject) })
  },
  // Keeps a replica as the orders service does: the predecessor must be there.
  async replicate () {
    await listen('orders-service', 'ticket:created', async ({ id, title, price }) => {
      if (await Ticket.findById(id)) return
      await new Ticket({ _id: id, title, price }).save()
    })
    await listen('orders-service', 'ticket:updated', async ({ id, version, title, price }) => {
      const ticket = await Ticket.findOne({ _id: id, version: version - 1 })
      if (!ticket) throw new Error(`no version ${version - 1} of ticket ${id}`)
      ticket.set({ title, price })
      await ticket.save()
    })
  },
  publish: ({ subject, data }) => publish(subject, data)
}

function publish (subject, data) {
  return new Promise((resolve, reject) => {
    bus.publish(subject, JSON.stringify(data), (err) => err ? reject(err) : resolve())
  })
}

function listen (group, subject, apply) {
  const options = bus.subscriptionOptions().setDeliverAllAvailable().setManualAckMode(true)
    .setAckWait(1000).setDurableName(group)
  const subscription = bus.subscribe(subject, group, options)
  subscription.on('message', async (message) => {
    try {
      await apply(JSON.parse(message.getData()))
      message.ack()
    } catch (err) {
      console.error(subject, err.message) // comes again
    }
  })
  return new Promise((resolve) => { subscription.on('ready', resolve) })
}

async function main () {
  await mongoose.connect(process.env.MONGO_URI)
  console.log('{}')
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line)
    try {
      console.log(JSON.stringify({ result: await actions[command.do](command) ?? null }))
    } catch (err) {
      console.log(JSON.stringify({ error: err.name, message: err.message }))
    }
  }
  if (bus) bus.close()
  await mongoose.disconnect()
}

main().catch((err) => { console.error(err); process.exit(1) })
