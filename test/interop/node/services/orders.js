'use strict'
const mongoose = require('mongoose')
const { statuses, versioned } = require('../models')
const { badRequest, notAuthorized, notFound } = require('./http')
const { publish, run } = require('./service')

const Order = mongoose.model('Order', versioned({
  userId: { type: String, required: true },
  status: { type: String, required: true, enum: statuses, default: 'created' },
  expiresAt: { type: mongoose.Schema.Types.Date },
  ticket: { type: mongoose.Schema.Types.ObjectId, ref: 'Ticket' }
}))
const Ticket = mongoose.model('Ticket', versioned({
  title: { type: String, required: true },
  price: { type: Number, required: true, min: 0 }
}))

async function cancel (order) {
  order.set({ status: 'cancelled' })
  await order.save()
  await publish('order:cancelled', { id: order.id, version: order.version, ticket: { id: order.ticket.id } })
}

async function known (id) {
  const order = await Order.findById(id).populate('ticket')
  if (!order) throw new Error('Order not found')
  return order
}

async function mine ({ id, user }) {
  const userId = user().id
  const order = await Order.findById(id).populate('ticket')
  if (!order) throw notFound()
  if (order.userId !== userId) throw notAuthorized()
  return order
}

run('orders-service', {
  'ticket:created': ({ id, title, price }) => new Ticket({ _id: id, title, price }).save(),
  'ticket:updated': async ({ id, version, title, price }) => {
    const ticket = await Ticket.findOne({ _id: id, version: version - 1 })
    if (!ticket) throw new Error('Ticket not found')
    ticket.set({ title, price })
    await ticket.save()
  },
  'expiration:complete': async ({ orderId }) => {
    const order = await known(orderId)
    if (order.status !== 'complete') await cancel(order) // also one that is cancelled
  },
  'payment:created': async ({ orderId }) => {
    const order = await known(orderId)
    order.set({ status: 'complete' }) // also one that is cancelled
    await order.save()
  }
}, [
  ['GET', '/api/orders', 200, ({ user }) => Order.find({ userId: user().id }).populate('ticket')],
  ['GET', '/api/orders/:id', 200, mine],
  ['DELETE', '/api/orders/:id', 204, async (req) => cancel(await mine(req))],
  ['POST', '/api/orders', 201, async ({ body, user }) => {
    const userId = user().id
    if (!mongoose.Types.ObjectId.isValid(body.ticketId)) throw badRequest('TicketId must be provided', 'ticketId')
    const ticket = await Ticket.findById(body.ticketId)
    if (!ticket) throw notFound()
    const active = { ticket, status: { $in: ['created', 'awaiting:payment', 'complete'] } }
    if (await Order.findOne(active)) throw badRequest('Ticket is already reserved')
    const expiresAt = new Date(Date.now() + 1000 * process.env.EXPIRATION_WINDOW_SECONDS)
    const order = new Order({ userId, status: 'created', expiresAt, ticket })
    await order.save()
    await publish('order:created', {
      id: order.id, version: order.version, status: order.status, userId, expiresAt: expiresAt.toISOString(),
      ticket: { id: ticket.id, price: ticket.price }
    })
    return order
  }]
])
