'use strict'
const mongoose = require('mongoose')
const { versioned } = require('../models')
const { Refusal, badRequest, notAuthorized, notFound } = require('./http')
const { publish, run } = require('./service')

const Ticket = mongoose.model('Ticket', versioned({
  title: { type: String, required: true },
  price: { type: Number, required: true },
  userId: { type: String, required: true },
  orderId: { type: String }
}))

const announce = (subject, { id, version, title, price, userId, orderId }) =>
  publish(subject, { id, version, title, price, userId, orderId })

// hold asks nobody whose lock it is.
async function hold (id, orderId) {
  const ticket = await Ticket.findById(id)
  if (!ticket) throw new Error('Ticket not found')
  ticket.set({ orderId })
  await ticket.save()
  await announce('ticket:updated', ticket)
}

function draft ({ title, price }) {
  const errors = []
  if (!title) errors.push({ message: 'Title is required', field: 'title' })
  if (!(Number(price) > 0)) errors.push({ message: 'Price must be greater than 0', field: 'price' })
  if (errors.length) throw new Refusal(400, ...errors)
  return { title, price }
}

run('tickets-service', {
  'order:created': (order) => hold(order.ticket.id, order.id),
  'order:cancelled': (order) => hold(order.ticket.id, undefined)
}, [
  ['GET', '/api/tickets', 200, () => Ticket.find({ orderId: undefined })],
  ['GET', '/api/tickets/:id', 200, async ({ id }) => {
    const ticket = await Ticket.findById(id)
    if (!ticket) throw notFound()
    return ticket
  }],
  ['POST', '/api/tickets', 201, async ({ body, user }) => {
    const userId = user().id
    const ticket = new Ticket({ ...draft(body), userId })
    await ticket.save()
    await announce('ticket:created', ticket)
    return ticket
  }],
  ['PUT', '/api/tickets/:id', 200, async ({ body, id, user }) => {
    const userId = user().id
    const wanted = draft(body)
    const ticket = await Ticket.findById(id)
    if (!ticket) throw notFound()
    if (ticket.userId !== userId) throw notAuthorized()
    if (ticket.orderId) throw badRequest('Cannot edit a reserved ticket')
    ticket.set(wanted)
    await ticket.save()
    await announce('ticket:updated', ticket)
    return ticket
  }]
])
